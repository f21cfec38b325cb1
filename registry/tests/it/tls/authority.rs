//! Authorities, certificates, and the files of `http.tls`.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use wharfinger::http::options::TlsOptions;

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By its name a certificate finds its authority; two of one name are taken for each other.
        let name = format!("authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Makes a certificate for a server at 127.0.0.1.
    pub(crate) fn server(&self) -> Pair {
        self.signed(&CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap())
    }

    /// Makes a certificate for a client of that common name, which is good until the end of a year.
    pub(crate) fn client(&self, name: &str, last_year: i32) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        self.signed(&params)
    }

    /// Makes a certificate for a client that has a URI, and no common name.
    pub(crate) fn workload(&self, uri: &str) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        self.signed(&params)
    }

    fn signed(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }
}

impl Pair {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// Returns both, as one file in PEM form.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }
}

/// The files of `http.tls`, with a certificate of an authority of their own.
pub(crate) struct Files {
    pub(crate) authority: Authority,
    /// The pair that was last written.
    pub(crate) pair: Pair,
    folder: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        let pair = authority.server();
        let files = Self { authority, pair, folder: tempfile::tempdir().unwrap() };
        files.write_certificate();
        files.write_key();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self) -> TlsOptions {
        TlsOptions { certificate: self.path("tls.crt"), key: self.path("tls.key"), ..TlsOptions::default() }
    }

    /// Makes another pair, and writes nothing.
    pub(crate) fn make_another(&mut self) {
        self.pair = self.authority.server();
    }

    pub(crate) fn write_certificate(&self) {
        std::fs::write(self.path("tls.crt"), self.pair.certificate.pem()).unwrap();
    }

    pub(crate) fn write_key(&self) {
        std::fs::write(self.path("tls.key"), self.pair.key.serialize_pem()).unwrap();
    }

    /// Writes whom client certificates must be of, and returns the file.
    pub(crate) fn write_client_authority(&self, authority: &Authority) -> PathBuf {
        let path = self.path("clients.crt");
        std::fs::write(&path, authority.pem()).unwrap();
        path
    }
}
