//! `NAME[:TAG|@DIGEST]`, as it is typed.

use super::Error;
use crate::oci::{Digest, Reference, ReferenceError, RepositoryName, Tag};

/// Reads a name with or without a tag.
///
/// *Errors:* [`Error::Name`], [`Error::Tag`].
pub fn parse_tagged(text: &str) -> Result<(RepositoryName, Option<Tag>), Error> {
    let (name, tag) = split_tag(text);
    let tag = tag.map(|tag| Tag::parse(tag).map_err(|source| Error::Tag { text: tag.to_owned(), source }));
    Ok((parse_name(name)?, tag.transpose()?))
}

/// Reads a name with or without a tag or digest.
///
/// *Errors:* [`Error::Name`], [`Error::Reference`].
pub fn parse_reference(text: &str) -> Result<(RepositoryName, Option<Reference>), Error> {
    let (name, reference) = match text.split_once('@') {
        // As docker writes it, with a tag that says nothing beside the digest.
        Some((name, digest)) => (split_tag(name).0, Some((digest, read_digest(digest)))),
        None => {
            let (name, tag) = split_tag(text);
            (name, tag.map(|tag| (tag, read_tag(tag))))
        }
    };
    let read = |(text, read): (&str, Result<Reference, ReferenceError>)| {
        read.map_err(|source| Error::Reference { text: text.to_owned(), source })
    };
    Ok((parse_name(name)?, reference.map(read).transpose()?))
}

fn read_digest(text: &str) -> Result<Reference, ReferenceError> {
    Ok(Reference::Digest(Digest::parse(text)?))
}

fn read_tag(text: &str) -> Result<Reference, ReferenceError> {
    Ok(Reference::Tag(Tag::parse(text)?))
}

/// Reads the name of a repository.
///
/// *Errors:* [`Error::Name`].
pub fn parse_name(text: &str) -> Result<RepositoryName, Error> {
    RepositoryName::parse(text).map_err(|source| Error::Name { text: text.to_owned(), source })
}

fn split_tag(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(name, tag)| (name, Some(tag)))
}

#[cfg(test)]
mod tests {
    //! Goal: what is typed is what is meant. Method: a table.

    use super::*;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let read = |text: &str| {
            let (name, reference) = parse_reference(text).ok()?;
            Some((name.to_string(), reference.map(|it| it.to_string())))
        };
        let expect = |name: &str, reference: Option<&str>| Some((name.into(), reference.map(Into::into)));
        assert_eq!(read("a/b"), expect("a/b", None));
        assert_eq!(read("a/b:1"), expect("a/b", Some("1")));
        assert_eq!(read(&format!("a@{digest}")), expect("a", Some(&digest)));
        assert_eq!(read(&format!("a:1@{digest}")), expect("a", Some(&digest)), "as docker writes it");
        let odd = format!("a:{digest}");
        for text in ["", ":1", "a:", "a:b:c", "a@", "a@1", "A", "host:5000/a", &odd] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(parse_tagged("a:b/c").is_err());
        assert_eq!(parse_tagged("a:1").unwrap().1.unwrap().as_str(), "1");
    }
}
