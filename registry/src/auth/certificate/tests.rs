//! Goal: the name is the one that the options ask for, and none that could be taken for another.
//! Method: tables over certificates made here, and over bytes that are none.

use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

/// Makes a certificate with these attributes of the subject, in order, and these alternative names.
fn made(subject: &[(DnType, &str)], alternatives: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names = alternatives;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().unwrap())
}

fn mail(text: &str) -> SanType {
    SanType::Rfc822Name(text.try_into().unwrap())
}

fn options(attributes: &[Attribute]) -> CertificateOptions {
    CertificateOptions { attributes: attributes.to_vec(), ..CertificateOptions::default() }
}

fn name(options: CertificateOptions, certificate: &[u8]) -> Result<Option<String>, CertificateError> {
    Certificates::new(options).name(certificate)
}

#[test]
fn the_first_attribute_with_a_name_decides() {
    use Attribute::{CommonName, DnsName, Email, Subject, Uri};
    let full = made(
        &[(DnType::OrganizationName, "Example"), (DnType::CommonName, "alice")],
        vec![
            dns("a.example"),
            mail("a@example.org"),
            dns("b.example"),
            uri("spiffe://example.org/workload/a"),
            mail("b@example.org"),
            uri("spiffe://example.org/workload/b"),
        ],
    );
    let bare = made(&[], vec![dns("c.example")]);
    let empty = made(&[], vec![]);
    for (certificate, attributes, expect) in [
        (&full, &[CommonName][..], Some("alice")),
        (&full, &[Subject], Some("CN=alice,O=Example")),
        (&full, &[Email, CommonName], Some("a@example.org")),
        (&full, &[Uri], Some("spiffe://example.org/workload/a")),
        (&full, &[DnsName], Some("a.example")),
        (&full, &[], None),
        (&bare, &[CommonName, Subject, Email, Uri, DnsName], Some("c.example")),
        (&bare, &[CommonName], None),
        (&empty, &[CommonName, Subject, Email, Uri, DnsName], None),
    ] {
        let named = name(options(attributes), certificate);
        assert_eq!(named, Ok(expect.map(str::to_owned)), "{attributes:?}");
    }
    let second = |attribute| CertificateOptions {
        uri_index: 1,
        dns_index: 1,
        email_index: 1,
        ..options(&[attribute])
    };
    for (attribute, expect) in
        [(Uri, "spiffe://example.org/workload/b"), (DnsName, "b.example"), (Email, "b@example.org")]
    {
        assert_eq!(name(second(attribute), &full).unwrap().as_deref(), Some(expect));
        assert_eq!(name(second(attribute), &bare), Ok(None), "there is no second");
    }
}

#[test]
fn a_pattern_takes_its_first_group() {
    let check = |pattern: &str, text: &str, expect: Option<&str>| {
        let uri_pattern = Some(UriPattern::parse(pattern).unwrap());
        let options = CertificateOptions { uri_pattern, ..options(&[Attribute::Uri]) };
        let named = name(options, &made(&[(DnType::CommonName, "x")], vec![uri(text)]));
        assert_eq!(named.unwrap().as_deref(), expect, "{pattern} {text}");
    };
    let workload = "spiffe://example.org/workload/(.*)";
    check(workload, "spiffe://example.org/workload/builder", Some("builder"));
    check(workload, "spiffe://example.org/workload/", None);
    check(workload, "spiffe://example.com/workload/builder", None);
    check("^spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)$", "spiffe://a/ns/team/sa/ci", Some("team"));
    // Anchors are for the operator to set, as in zot.
    check(workload, "spiffe://evil/spiffe://example.org/workload/admin", Some("admin"));
    check("^spiffe://example.org/workload/([^/]+)$", "spiffe://evil/spiffe://example.org/workload/a", None);
    check("a(x)?", "a:b", None);
}

#[test]
fn a_pattern_that_gives_no_name_is_none() {
    for (text, expect) in [
        ("", UriPatternError::NoGroup),
        ("spiffe://.*", UriPatternError::NoGroup),
        ("(?:a)", UriPatternError::NoGroup),
        ("(", UriPatternError::Syntax("unclosed group".to_owned())),
        ("(?:(a){1000}){1000}", UriPatternError::Large),
        (&*format!("(a){}", "b".repeat(PATTERN_BYTES_MAX)), UriPatternError::Long),
    ] {
        assert_eq!(UriPattern::parse(text).unwrap_err(), expect, "{text}");
    }
}

#[test]
fn names_that_no_account_can_have_are_refused() {
    let cn =
        |text: &str| name(options(&[Attribute::CommonName]), &made(&[(DnType::CommonName, text)], vec![]));
    for text in ["a\nb", "admin\0", "\u{1b}[2K", "a\u{85}b", "\t"] {
        assert_eq!(cn(text), Err(CertificateError::Control), "{text:?}");
    }
    let longest = "ä".repeat(127) + "b";
    assert_eq!(cn(&longest), Ok(Some(longest.clone())));
    assert_eq!(cn(&format!("{longest}c")), Err(CertificateError::TooLong { len: 256 }));
    // What was refused is not made up for by the next attribute.
    let both = made(&[(DnType::CommonName, "a\nb")], vec![dns("a.example")]);
    let attributes = [Attribute::CommonName, Attribute::DnsName];
    assert_eq!(name(options(&attributes), &both), Err(CertificateError::Control));
}

#[test]
fn subjects_are_written_in_one_order_and_escaped() {
    let check = |subject: &[(DnType, &str)], expect: &str| {
        let named = name(options(&[Attribute::Subject]), &made(subject, vec![]));
        assert_eq!(named.unwrap().as_deref(), Some(expect), "{subject:?}");
    };
    check(
        &[
            (DnType::CountryName, "DE"),
            (DnType::StateOrProvinceName, "Bayern"),
            (DnType::LocalityName, "Hof"),
            (DnType::OrganizationName, "Example, Inc."),
            (DnType::OrganizationalUnitName, "a+b"),
            (DnType::CommonName, "ci"),
        ],
        r"CN=ci,ST=Bayern,L=Hof,OU=a\+b,O=Example\, Inc.,C=DE",
    );
    check(&[(DnType::CommonName, " #x ")], r"CN=\ #x\ ");
    check(&[(DnType::CommonName, "#x,CN=admin")], r"CN=\#x\,CN=admin");
    // The address of RFC 2985, which has no name here: by number, and as it is encoded.
    let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
    check(&[(mail, "a"), (DnType::CommonName, "ci")], "CN=ci,1.2.840.113549.1.9.1=#0c0161");
}

#[test]
fn what_is_no_certificate_names_nobody() {
    let good = made(&[(DnType::CommonName, "alice")], vec![]);
    let certificates = Certificates::new(CertificateOptions::default());
    for end in 0..good.len() {
        assert_eq!(certificates.name(&good[..end]), Err(CertificateError::Malformed), "{end}");
    }
    assert_eq!(certificates.name(&[&good[..], &[0]].concat()), Err(CertificateError::Malformed));
    // A second extension of alternative names, and one whose URI is not ASCII.
    let alternatives = |content: &[u8]| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
        params.custom_extensions.push(extension);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    };
    let uris = Certificates::new(options(&[Attribute::Uri]));
    assert_eq!(uris.name(&alternatives(&[0x30, 3, 0x86, 1, b'a'])), Ok(Some("a".to_owned())));
    assert_eq!(
        uris.name(&alternatives(&[0x30, 6, 0x86, 1, 0xff, 0x86, 1, b'a'])),
        Err(CertificateError::Malformed)
    );
}

#[test]
fn attributes_have_two_names_in_any_case() {
    for (word, expect) in [
        ("CommonName", Some(Attribute::CommonName)),
        ("cn", Some(Attribute::CommonName)),
        ("DN", Some(Attribute::Subject)),
        ("RFC822Name", Some(Attribute::Email)),
        ("uri", Some(Attribute::Uri)),
        ("url", Some(Attribute::Uri)),
        ("dns", Some(Attribute::DnsName)),
        ("serial", None),
        ("", None),
    ] {
        assert_eq!(Attribute::parse(word), expect, "{word}");
    }
}

/// A certificate with everything that is read of one.
static FULL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    let names = vec![dns("a.example"), mail("a@example.org"), uri("spiffe://example.org/workload/a")];
    made(&[(DnType::OrganizationName, "Example"), (DnType::CommonName, "alice")], names)
});

proptest! {
    #[test]
    fn a_damaged_certificate_gives_a_good_name_or_none(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        attribute in prop::sample::select(
            &[Attribute::CommonName, Attribute::Subject, Attribute::Email, Attribute::Uri, Attribute::DnsName][..]
        ),
    ) {
        let mut damaged = FULL.clone();
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Ok(Some(name)) = name(options(&[attribute]), &damaged) {
            prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
            prop_assert!(!name.chars().any(char::is_control));
        }
    }
}
