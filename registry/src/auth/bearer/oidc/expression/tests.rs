//! Goal: expressions come to what CEL says that they do, and what is none of ours is refused when it is read.
//! Method: tables over the claims of a cluster and of a build service, and properties over any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn context() -> Context {
    let claims = json!({
        "iss": "https://issuer.example", "sub": "system:serviceaccount:prod:app", "email": "Eve@example.com",
        "repository": "acme/app", "ref": "refs/heads/main", "admin": true, "level": 3, "share": 3.0,
        "groups": ["a", "b"], "kubernetes.io": {"namespace": "prod", "pod": {"name": "x"}}, "empty": "", "no": null,
    });
    let variables = [("owner".to_owned(), json!("acme"))].into();
    Context { claims, variables }
}

fn evaluated(text: &str) -> Result<Value, Failure> {
    Expression::parse(text, &["owner".to_owned()])
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .evaluate(&context())
}

#[test]
fn what_expressions_come_to() {
    for (text, expect) in [
        ("claims.sub", json!("system:serviceaccount:prod:app")),
        ("claims.iss + '/' + claims.sub", json!("https://issuer.example/system:serviceaccount:prod:app")),
        ("claims['kubernetes.io'].namespace", json!("prod")),
        ("claims['kubernetes.io']['pod'].name == \"x\"", json!(true)),
        ("claims.email.split('@')[0]", json!("Eve")),
        ("claims.email.lowerAscii()", json!("eve@example.com")),
        ("claims.repository in ['acme/app', 'acme/b']", json!(true)),
        ("'repository' in claims && !('x' in claims)", json!(true)),
        ("claims.admin == true", json!(true)),
        ("claims.admin", json!(true)),
        ("!!claims.admin", json!(true)),
        ("claims.level == 3 && claims.share == 3 && claims.level != -3", json!(true)),
        ("claims.level == '3'", json!(false)),
        ("vars.owner == 'acme'", json!(true)),
        ("claims.ref.startsWith('refs/heads/') && claims.ref.endsWith('main')", json!(true)),
        ("claims.ref.contains('tags')", json!(false)),
        ("claims.groups + ['ci']", json!(["a", "b", "ci"])),
        ("[]", json!([])),
        ("has(claims.email) ? claims.email : claims.sub", json!("Eve@example.com")),
        ("has(claims.mail) ? claims.mail : 'none'", json!("none")),
        ("has(claims.no)", json!(true)),
        ("'it\\'s \\\\ \"' + \"'\"", json!("it's \\ \"'")),
        // Either side decides; `&&` binds more than `||`, and `+` more than both.
        ("claims.nothing == 1 || true", json!(true)),
        ("false && claims.nothing", json!(false)),
        ("claims.nothing && false", json!(false)),
        ("true || false && false", json!(true)),
        ("(true || false) && false", json!(false)),
        ("'a' + 'b' == 'ab'", json!(true)),
        ("true ? 'a' : false ? 'b' : 'c'", json!("a")),
        ("claims.groups[1]", json!("b")),
        ("claims.info == 1 || claims.level == 3", json!(true)),
    ] {
        assert_eq!(evaluated(text), Ok(expect), "{text}");
    }
}

#[test]
fn what_comes_to_nothing() {
    for text in [
        "claims.nothing",
        "claims.sub.name",
        "claims.groups['a']",
        "claims.groups[2]",
        "claims.groups[-1]",
        "claims[0]",
        "has(claims.nothing.more)",
        "claims.level + 1",
        "claims.sub + 1",
        "claims.groups + 'a'",
        "claims.level.startsWith('3')",
        "claims.sub.startsWith(3)",
        "claims.sub.split('')",
        "!claims.sub",
        "claims.sub && true",
        "claims.nothing || false",
        "claims.sub ? 1 : 2",
        "1 in 1",
        "1 in claims",
    ] {
        assert_eq!(evaluated(text), Err(Failure), "{text}");
    }
}

#[test]
fn what_is_no_expression() {
    use ExpressionError::{Call, Name, TooDeep, TooLong};
    let error = |text: &str| Expression::parse(text, &["owner".to_owned()]).err();
    for text in [
        "",
        " ",
        "claims.",
        "claims.sub claims.iss",
        "'open",
        "'a\\n'",
        "claims.sub ==",
        "== 1",
        "1 == 1 == 1",
        "(1",
        "[1",
        "[1,]",
        "[,]",
        "claims['a'",
        "true ?  1",
        "true ? 1 :",
        "+ 1",
        "1 - 1",
        "1 < 2",
        "1.5",
        "-",
        "a'",
        "claims.1",
        "vars",
        "vars['owner']",
        "has(claims)",
        "has(1)",
        "99999999999999999999",
        "claims & claims",
        "é",
        "claims.é",
        "claims.sub.startsWith()",
        "claims.sub.lowerAscii(1)",
    ] {
        assert!(error(text).is_some(), "{text}");
    }
    let name = |name: &str| Some(Name { name: name.to_owned() });
    assert_eq!(error("claim.sub"), name("claim"));
    assert_eq!(error("vars.other"), name("vars.other"));
    assert_eq!(error("null"), name("null"));
    for text in ["claims.sub.matches('a')", "size(claims)", "claims.groups.all(it, true)"] {
        assert!(matches!(error(text), Some(Call { .. })), "{text}");
    }
    assert_eq!(error(&"'".repeat(EXPRESSION_BYTES_MAX + 1)), Some(TooLong));
    for (open, close) in [("(", ")"), ("[", "]"), ("claims[", "]")] {
        let deep = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(error(&deep(DEPTH_MAX - 1)), None);
        assert_eq!(error(&deep(DEPTH_MAX)), Some(TooDeep));
    }
    assert_eq!(error(&format!("claims{}", ".a".repeat(DEPTH_MAX + 1))), Some(TooDeep));
    let sum = |operators: usize| format!("1{}", "+1".repeat(operators));
    assert_eq!((error(&sum(OPERATORS_MAX)), error(&sum(OPERATORS_MAX + 1))), (None, Some(TooDeep)));
    let place = Expression::parse("claims.é == ", &[]).unwrap_err().to_string();
    assert_eq!(place, "is no expression from its character 8 on: a name is expected");
}

#[test]
fn nothing_grows_without_end() {
    let mut context = context();
    let double = Expression::parse("vars.owner + vars.owner", &["owner".to_owned()]).unwrap();
    let mut grown = 0;
    while let Ok(value) = double.evaluate(&context) {
        context.variables.insert("owner".to_owned(), value);
        grown += 1;
        assert!(grown < 20);
    }
    let many = "a,".repeat(2000);
    context.claims = json!({"list": many});
    let split = Expression::parse("claims.list.split(',')", &[]).unwrap();
    assert_eq!(split.evaluate(&context), Err(Failure));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[ a-z'\"\\[\\]().+!=&|?:,0-9\\\\é-]{0,60}") {
        for text in [text.clone(), format!("claims.{text}"), format!("claims['{text}")] {
            if let Ok(expression) = Expression::parse(&text, &[]) {
                let _answered = expression.evaluate(&context()).is_ok();
            }
        }
    }
}
