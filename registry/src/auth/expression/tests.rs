//! Goal: expressions come to what CEL says that they do, and what is none of ours is refused when it is read.
//! Method: tables over the claims of a cluster and of a build service, and properties over any text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn context() -> Context {
    let claims = json!({
        "iss": "https://issuer.example", "sub": "system:serviceaccount:prod:app", "email": "Eve@example.com",
        "repository": "acme/app", "ref": "refs/heads/main", "admin": true, "level": 3, "project": 9_007_199_254_740_993_u64, "share": 3.0,
        "groups": ["a", "b"], "kubernetes.io": {"namespace": "prod", "pod": {"name": "x"}}, "empty": "", "no": null,
    });
    let variables = [("owner".to_owned(), json!("acme"))].into();
    Context { subject: claims, variables }
}

fn evaluated(text: &str) -> Result<Value, Failure> {
    Expression::parse(text, Subject::Claims, &["owner".to_owned()])
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
        ("claims.project == 9007199254740993 && claims.project != 9007199254740992", json!(true)),
        ("claims.project > 9007199254740992 && claims.project < 9007199254740994", json!(true)),
        ("claims.project in [9007199254740992, 9007199254740994]", json!(false)),
        ("1 < 2 && 2 <= 2 && 3 > 2 && 2 >= 2", json!(true)),
        ("2 < 2 || 3 <= 2 || 2 > 2 || 1 >= 2", json!(false)),
        ("claims.share < 4 && 'a' < 'b' && 'B' < 'a'", json!(true)),
        ("claims.sub.matches('^system:.*:app$') && claims.sub.matches('prod')", json!(true)),
        ("claims.sub.matches('^prod')", json!(false)),
        ("timestamp('2027-01-31T00:00:00Z')", json!("2027-01-31T00:00:00.000Z")),
        ("timestamp('2027-01-31T00:00:00Z') < timestamp(\"2027-01-31T00:00:00.5Z\")", json!(true)),
        ("timestamp('2027-02-01T23:04:05Z').getDayOfWeek()", json!(1)),
        ("timestamp('1970-01-01T00:00:00Z').getDayOfWeek()", json!(4)),
        ("timestamp('2027-02-01T23:04:05Z').getHours() >= 22", json!(true)),
        ("timestamp('2027-02-01T23:04:05Z').getMinutes()", json!(4)),
        ("timestamp('2027-02-01T23:04:05Z').getSeconds()", json!(5)),
        ("timestamp('2027-02-01T23:04:05Z').getFullYear()", json!(2027)),
        ("timestamp('2027-02-01T23:04:05Z').getMonth()", json!(1)),
        ("timestamp('2027-02-01T23:04:05Z').getDate()", json!(1)),
        ("timestamp('2027-02-01T23:04:05Z').getDayOfMonth()", json!(0)),
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
        "1 < '2'",
        "claims.admin < true",
        "claims.level.matches('3')",
        "claims.sub.getHours()",
    ] {
        assert_eq!(evaluated(text), Err(Failure), "{text}");
    }
}

#[test]
fn what_is_no_expression() {
    use ExpressionError::{Call, Name, TooDeep, TooLong};
    let error = |text: &str| Expression::parse(text, Subject::Claims, &["owner".to_owned()]).err();
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
        "claims.sub.matches(claims.ref)",
        "claims.sub.matches('(')",
        "claims.sub.matches('(a{1000}){1000}')",
        "claims.sub.matches('a'",
        "timestamp(claims.sub)",
        "timestamp('2027-01-31')",
        "timestamp('2027-01-31T00:00:00+02:00')",
        "timestamp('2027-01-31T00:00:00Z'",
        "timestamp",
        "claims.sub.getHours('Europe/Berlin')",
        "claims < ",
        "1 < 2 < 3",
        "req.user",
    ] {
        assert!(error(text).is_some(), "{text}");
    }
    let name = |name: &str| Some(Name { name: name.to_owned(), subject: "claims" });
    assert_eq!(error("claim.sub"), name("claim"));
    assert_eq!(error("vars.other"), name("vars.other"));
    assert_eq!(error("null"), name("null"));
    for text in ["claims.sub.replace('a', 'b')", "size(claims)", "claims.groups.all(it, true)"] {
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
    let place = Expression::parse("claims.é == ", Subject::Claims, &[]).unwrap_err().to_string();
    assert_eq!(place, "is no expression from its character 8 on: a name is expected");
}

/// A name that is mistaken would make a condition that never holds, or always.
#[test]
fn a_request_has_the_members_that_are_known() {
    let members = &["method", "user.username", "user.groups"];
    let error = |text: &str| Expression::parse(text, Subject::Request(members), &[]).err();
    for text in
        ["req.method == 'GET'", "req.user.username + 'x'", "'a' in req.user.groups", "has(req.method)"]
    {
        assert_eq!(error(text), None, "{text}");
    }
    for text in
        ["req", "req.user", "req['method']", "req == 1", "'user' in req", "has(req)", "req.", "claims.sub"]
    {
        assert!(error(text).is_some(), "{text}");
    }
    for (text, name) in
        [("req.user.name", "req.user.name"), ("req.metod", "req.metod"), ("req.claims.x", "req.claims")]
    {
        let known = "method, user.username, user.groups".to_owned();
        assert_eq!(error(text), Some(ExpressionError::Member { name: name.to_owned(), known }), "{text}");
    }
}

#[test]
fn nothing_grows_without_end() {
    let mut context = context();
    let double =
        Expression::parse("vars.owner + vars.owner", Subject::Claims, &["owner".to_owned()]).unwrap();
    let mut grown = 0;
    while let Ok(value) = double.evaluate(&context) {
        context.variables.insert("owner".to_owned(), value);
        grown += 1;
        assert!(grown < 20);
    }
    let many = "a,".repeat(2000);
    context.subject = json!({"list": many});
    let split = Expression::parse("claims.list.split(',')", Subject::Claims, &[]).unwrap();
    assert_eq!(split.evaluate(&context), Err(Failure));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[ a-z'\"\\[\\]().+!=&|?:,0-9\\\\é-]{0,60}") {
        for text in [text.clone(), format!("claims.{text}"), format!("claims['{text}")] {
            if let Ok(expression) = Expression::parse(&text, Subject::Claims, &[]) {
                let _answered = expression.evaluate(&context()).is_ok();
            }
        }
    }
}
