//! Authorization headers, user names and passwords that no client sends in good faith.

use super::tools::{basic, told_alike};
use crate::check::{Check, Level, Stop, Verdict, run};
use crate::checks::auth::{ANCHOR, LOGIN, account, ask, token_of, wanted};
use crate::context::Context;
use crate::expect::{Findings, header_absent, no_server_error, status, that};
use crate::login::Account;
use crate::wire::{Request, Response, WireError};

/// Bytes of a token that no header holds.
const TOKEN_BYTES: usize = 64 * 1024;
/// Bytes of a Basic header that no client sends.
const BASIC_BYTES: usize = 32 * 1024;

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new(
        "T-152b",
        Level::Observe,
        "RFC 9110 §11.6.2, RFC 7617 §2",
        "An Authorization header that cannot be read is refused, and the next request is served.",
        run!(unreadable),
    )
    .after(&["T-151"])
    .needs(LOGIN)
    .why("It is the first thing that a stranger's bytes reach."),
    Check::new(
        "T-152c",
        Level::Observe,
        "RFC 9110 §5.3, §11.6.2",
        "Two logins in one request let nobody in.",
        run!(two_logins),
    )
    .after(&["T-151"])
    .needs(LOGIN)
    .why("A proxy that reads the one and a registry that reads the other disagree on who asks."),
    Check::new("T-152d", Level::Observe, ANCHOR, "A strange user name is a wrong one.", run!(strange_names))
        .after(&["T-152"])
        .needs(LOGIN)
        .alone()
        .why("Names go into the filters of directories, into queries, paths and logs."),
    Check::new(
        "T-152e",
        Level::Observe,
        ANCHOR,
        "A user who is not there is refused like one with another password.",
        run!(unknown_user),
    )
    .after(&["T-152"])
    .needs(LOGIN)
    .alone()
    .why("Who knows which names there are has half of what he needs."),
    Check::new(
        "T-156a",
        Level::Observe,
        "RFC 9110 §11.1",
        "The name of a scheme is read in any case.",
        run!(schemes_in_any_case),
    )
    .after(&["T-151"])
    .needs(LOGIN)
    .why("The RFC says so, and libraries write it as they like.")
    .breaks("Clients that write `basic` or `bearer`, as some libraries of HTTP do."),
];

/// Returns the request to push, and that for a token where tokens are to be had, with this login.
async fn doors(ctx: &Context, repo: &str, account: &Account) -> Result<Vec<Request>, Stop> {
    let mut doors = vec![ctx.begin(repo).header("Authorization", account.basic())];
    if ctx.login().is_bearer() {
        doors.push(wanted(ctx, repo, &[format!("repository:{repo}:pull,push")], Some(account)).await?);
    }
    Ok(doors)
}

/// Returns what somebody else than the account logs in with.
fn other_login(request: Request, value: &str) -> Request {
    let headers = request.headers.into_iter().filter(|(name, _)| name != "Authorization").collect();
    Request { headers, ..request }.header("Authorization", value)
}

async fn unreadable(ctx: &Context) -> Verdict {
    let (account, mut findings) = (account(ctx)?, Findings::default());
    let name = &account.username;
    let long = vec![b'a'; BASIC_BYTES * 3 / 4];
    let values = [
        ("a token of 64 KiB", format!("Bearer {}", "a.".repeat(TOKEN_BYTES / 2))),
        ("a Basic of 32 KiB", basic(&[name.as_bytes(), b":", &long].concat())),
        ("base64 that is cut", "Basic YWxpY2U6c".to_owned()),
        ("base64 with too much padding", "Basic YWxpY2U6cA=====".to_owned()),
        ("no base64", "Basic !!!!".to_owned()),
        ("base64 with a line end in it", "Basic YWxp\tY2U6cA==".to_owned()),
        ("no colon", basic(name.as_bytes())),
        ("a colon alone", basic(b":")),
        ("a NUL in the password", basic(format!("{name}:a\0b").as_bytes())),
        ("a line end in the password", basic(format!("{name}:a\r\nb").as_bytes())),
        ("no UTF-8", basic(b"\xff\xfe:\xc0\x80")),
        ("Basic alone", "Basic".to_owned()),
        ("Basic with three words", "Basic a b c".to_owned()),
        ("Bearer alone", "Bearer".to_owned()),
        ("Bearer with two tokens", "Bearer a b".to_owned()),
        ("two schemes in one", "Basic YTpi, Bearer x".to_owned()),
        ("a scheme of no letters", "\u{e9}\u{e9} x".to_owned()),
        ("no scheme", String::new()),
    ];
    for door in doors(ctx, &ctx.repo(), &account).await? {
        let is_push = door.method == "POST";
        for (what, value) in &values {
            match ctx.attempt(other_login(door.clone(), value)).await {
                Ok(answer) => {
                    findings.note(no_server_error(&answer))?;
                    // A realm may take what is no login for nobody's.
                    findings.note(that(!is_push || answer.is_client_error(), || {
                        format!("{what}: answered {}, expected a refusal", answer.status)
                    }))?;
                }
                Err(WireError::Closed | WireError::Broken(_)) if value.len() > BASIC_BYTES => {}
                Err(error) => findings.note(that(false, || format!("{what}: {error}")))?,
            }
        }
    }
    findings.note(status(&ctx.send(ctx.begin(&ctx.repo())).await?, &[202]))?;
    findings.verdict()
}

/// Returns the header with which the account may push to a repository.
async fn good_header(ctx: &Context, repo: &str) -> Result<String, Stop> {
    let account = account(ctx)?;
    if !ctx.login().is_bearer() {
        return Ok(account.basic());
    }
    let token = token_of(&ask(ctx, repo, "pull,push", Some(&account)).await?)?;
    Ok(format!("Bearer {token}"))
}

async fn two_logins(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let good = good_header(ctx, &repo).await?;
    let bad = Account::new(account(ctx)?.username, "wrong").basic();
    let fits = ctx.send(ctx.begin(&repo).header("Authorization", good.clone())).await?;
    status(&fits, &[202])?;
    for (what, first, second) in
        [("a good login before a bad one", &good, &bad), ("a bad login before a good one", &bad, &good)]
    {
        let both = ctx.begin(&repo).header("Authorization", first).header("Authorization", second);
        let answer = ctx.send(both).await?;
        findings.note(that(answer.is_client_error(), || {
            format!("{what}: a push is answered {}, expected a refusal", answer.status)
        }))?;
    }
    findings.verdict()
}

async fn strange_names(ctx: &Context) -> Verdict {
    let (account, mut findings) = (account(ctx)?, Findings::default());
    let known = &account.username;
    for name in [
        "*".to_owned(),
        "*)(uid=*".to_owned(),
        format!("{known})(&)"),
        format!("{known})(|(uid=*"),
        format!("{known}\\00"),
        format!("{known}\0"),
        format!("{known}\0x"),
        format!("{known}\n"),
        format!("{known}\r\nX-Injected: yes"),
        format!("{known}' OR '1'='1"),
        format!("../{known}"),
        format!("{known}/../{known}"),
        "${jndi".to_owned(),
        "%s%n%x".to_owned(),
        "\u{202e}".to_owned(),
        "a".repeat(4096),
    ] {
        let has_controls = name.chars().any(char::is_control);
        let asks = Account::new(name.clone(), account.password.clone());
        for door in doors(ctx, &ctx.repo(), &asks).await? {
            let answer = ctx.send(door).await?;
            findings.note(header_absent(&answer, "X-Injected"))?;
            if answer.status == 429 {
                // Who has failed so often may have to wait.
                ctx.observe("many failed logins are answered with 429");
                continue;
            }
            let allowed: &[u16] = if has_controls || name.len() > 255 { &[400, 401, 431] } else { &[401] };
            findings.note(status(&answer, allowed).map_err(|_| {
                Stop::Fail(format!(
                    "{}: answered {} to the user {}",
                    answer.label,
                    answer.status,
                    name.escape_default().take(80).collect::<String>()
                ))
            }))?;
        }
    }
    findings.note(status(&ctx.send(ctx.begin(&ctx.repo())).await?, &[202]))?;
    findings.verdict()
}

async fn unknown_user(ctx: &Context) -> Verdict {
    let known = account(ctx)?.username;
    // As long as the other: what names it has one length too.
    let unknown: String = known.chars().rev().map(|c| if c == 'z' { 'q' } else { 'z' }).collect();
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let there = doors(ctx, &repo, &Account::new(known.clone(), "wrong")).await?;
    let gone = doors(ctx, &repo, &Account::new(unknown.clone(), "wrong")).await?;
    for (there, gone) in there.into_iter().zip(gone) {
        let (there, gone) = (ctx.send(there).await?, ctx.send(gone).await?);
        if [&there, &gone].iter().any(|answer| answer.status == 429) {
            return Err(Stop::Skip("failed logins are held back".to_owned()));
        }
        findings.note(that(!there.is_success(), || format!("{}: a wrong password is right", there.label)))?;
        // A refusal may say the name that it was sent, and may have the same word by chance.
        if told_alike(&there, &gone, &[]).is_err() {
            findings.note(told_alike(&there, &gone, &[(&known, &unknown)]))?;
        }
    }
    findings.verdict()
}

async fn schemes_in_any_case(ctx: &Context) -> Verdict {
    let (repo, account, mut findings) = (ctx.repo(), account(ctx)?, Findings::default());
    let spelt = |value: &str| {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        let mixed = scheme
            .char_indices()
            .map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
        [scheme.to_ascii_lowercase(), scheme.to_ascii_uppercase(), mixed.collect()]
            .map(|scheme| format!("{scheme} {rest}"))
    };
    for value in spelt(&good_header(ctx, &repo).await?) {
        let answer = ctx.send(ctx.begin(&repo).header("Authorization", value.clone())).await?;
        findings.note(fits(&answer, &value, 202))?;
    }
    if ctx.login().is_bearer() {
        let door = wanted(ctx, &repo, &[format!("repository:{repo}:pull")], Some(&account)).await?;
        for value in spelt(&account.basic()) {
            let answer = ctx.send(other_login(door.clone(), &value)).await?;
            findings.note(fits(&answer, &value, 200))?;
        }
    }
    findings.verdict()
}

fn fits(answer: &Response, value: &str, expect: u16) -> Verdict {
    let scheme = value.split(' ').next().unwrap_or_default();
    that(answer.status == expect, || {
        format!("{}: answered {} to the scheme {scheme:?}, expected {expect}", answer.label, answer.status)
    })
}
