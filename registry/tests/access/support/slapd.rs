//! OpenLDAP's server: a directory of a few people, with groups, over plain TCP, StartTLS and LDAPS.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;
use wharfinger::auth::options::ldap::{AccountSource, BindAccount, Depth, LdapOptions, Security};

use super::command::Command;
use super::daemon::Daemon;
use super::skip;

pub(crate) const BASE: &str = "dc=example,dc=org";
pub(crate) const PEOPLE: &str = "ou=people,dc=example,dc=org";
const ADMIN: &str = "cn=admin,dc=example,dc=org";
const ADMIN_PASSWORD: &str = "all-powerful";
/// The account that searches.
pub(crate) const READER: &str = "cn=reader,dc=example,dc=org";
/// How its log begins to say that this account logs in.
pub(crate) const READER_BINDS: &str = "BIND dn=\"cn=reader,";
pub(crate) const READER_PASSWORD: &str = "bookworm";

/// How often a start is tried: a port that was free may be taken when the server comes to it.
const STARTS_MAX: usize = 5;

/// How long it may take to listen after it said that it starts.
const LISTEN_PATIENCE: Duration = Duration::from_secs(20);

/// How long a signal may take to reach every thread.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(20);

/// Who may search without an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anonymous {
    Reads,
    ReadsNothing,
}

/// A directory, running or not.
#[derive(Debug)]
pub(crate) struct Slapd {
    daemon: Option<Daemon>,
    folder: TempDir,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
    starts: usize,
}

/// A directory that was stopped in the middle. Dropping it lets it go on.
#[derive(Debug)]
pub(crate) struct Paused(Pid);

impl Slapd {
    /// Starts one with its people, or says that a test is skipped.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_for(test, Anonymous::ReadsNothing).await
    }

    /// Starts one in which somebody anonymous may search as well, or not.
    pub(crate) async fn start_for(test: &str, anonymous: Anonymous) -> Option<Self> {
        if !skip::has(test, &["slapd", "ldapmodify"]) {
            return None;
        }
        let mut slapd =
            Self { daemon: None, folder: tempfile::tempdir().unwrap(), port: 0, tls_port: 0, starts: 0 };
        slapd.write_config(anonymous);
        for _ in 0..STARTS_MAX {
            (slapd.port, slapd.tls_port) = (free_port(), free_port());
            if slapd.run().await.is_ok() {
                slapd.modify(&people()).await;
                return Some(slapd);
            }
        }
        panic!("no start of slapd came to its end");
    }

    /// Starts it where it was.
    pub(crate) async fn resume(&mut self) {
        self.run().await.unwrap();
    }

    /// Ends it, and keeps what it holds.
    pub(crate) fn stop(&mut self) {
        drop(self.daemon.take());
    }

    /// Stops it in the middle of whatever it does: its connections stay, and nothing is answered.
    pub(crate) fn pause(&self) -> Paused {
        let pid = fs::read_to_string(self.path("pid")).unwrap().trim().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        // The signal is on its way to each thread; one that has not got it yet would answer once more.
        let deadline = Instant::now() + SIGNAL_PATIENCE;
        while !is_stopped(pid) {
            assert!(Instant::now() < deadline, "slapd stops");
            std::thread::yield_now();
        }
        Paused(pid)
    }

    /// Changes entries, as the administrator.
    pub(crate) async fn modify(&self, ldif: &str) {
        let file = self.path("changes.ldif");
        fs::write(&file, ldif).unwrap();
        let url = format!("ldap://127.0.0.1:{}", self.port);
        let command = Command::new("ldapmodify").args(["-x", "-H", &url, "-D", ADMIN, "-w", ADMIN_PASSWORD]);
        command.arg("-f").arg(file).run().await;
    }

    /// Gives somebody another password.
    pub(crate) async fn set_password(&self, uid: &str, password: &str) {
        let ldif = format!(
            "dn: uid={uid},{PEOPLE}\nchangetype: modify\nreplace: userPassword\nuserPassword: {password}\n"
        );
        self.modify(&ldif).await;
    }

    /// Returns how often its log has a line with these words, since its last start.
    pub(crate) fn count(&self, words: &str) -> usize {
        let log = fs::read(self.path(&format!("slapd-{}.log", self.starts))).unwrap();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(words)).count()
    }

    /// Returns the certificate of its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Returns a place in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns how to ask it without TLS, as the account that searches.
    pub(crate) fn options(&self) -> LdapOptions {
        let account = BindAccount { dn: READER.to_owned(), password: READER_PASSWORD.to_owned() };
        LdapOptions {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            security: Security::Plain,
            account: AccountSource::Written(account),
            base_dn: PEOPLE.to_owned(),
            depth: Depth::OneLevel,
            user_attribute: "uid".to_owned(),
            group_attribute: Some("memberOf".to_owned()),
            ca_file: Some(self.authority()),
            timeout: Duration::from_secs(20),
            ..LdapOptions::default()
        }
    }

    async fn run(&mut self) -> Result<(), String> {
        self.starts += 1;
        let urls = format!("ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/", self.port, self.tls_port);
        let mut command = process::Command::new(program());
        // With its statistics on, it tells what it was asked.
        command.arg("-f").arg(self.path("slapd.conf")).args(["-h", &urls, "-d", "stats"]);
        let mut daemon = Daemon::start(&format!("slapd-{}", self.starts), &mut command, self.folder.path());
        daemon.wait_for("slapd starting").await?;
        // It says so a little before it listens.
        for port in [self.port, self.tls_port] {
            listening(port).await?;
        }
        self.daemon = Some(daemon);
        Ok(())
    }

    fn write_config(&self, anonymous: Anonymous) {
        let folder = self.folder.path().display();
        fs::create_dir(self.path("data")).unwrap();
        certify(self.folder.path());
        let rest = if anonymous == Anonymous::Reads { "read" } else { "auth" };
        let mut config = String::new();
        for schema in ["core", "cosine", "inetorgperson"] {
            writeln!(config, "include /etc/ldap/schema/{schema}.schema").unwrap();
        }
        write!(
            config,
            "modulepath /usr/lib/ldap\nmoduleload back_mdb.so\nmoduleload memberof.so\n\
             pidfile {folder}/pid\n\
             TLSCertificateFile {folder}/server.pem\nTLSCertificateKeyFile {folder}/server.key\n\
             TLSVerifyClient never\n\
             database mdb\nsuffix {BASE}\ndirectory {folder}/data\nmaxsize 16777216\n\
             rootdn {ADMIN}\nrootpw {ADMIN_PASSWORD}\noverlay memberof\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by dn.exact={READER} read by * {rest}\n"
        )
        .unwrap();
        fs::write(self.path("slapd.conf"), config).unwrap();
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // It fails when the server has ended, which is as good.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// The people: with a group and without, deep below, excluded by a filter, twice, with a name full of what
/// filters and distinguished names are written with.
fn people() -> String {
    let mut ldif = format!(
        "dn: {BASE}\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
    );
    for unit in ["people", "groups", "robots"] {
        write!(
            ldif,
            "dn: ou={unit},{BASE}\nchangetype: add\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        )
        .unwrap();
    }
    for (unit, below) in [("deep", PEOPLE), ("twins", PEOPLE)] {
        write!(
            ldif,
            "dn: ou={unit},{below}\nchangetype: add\nobjectClass: organizationalUnit\nou: {unit}\n\n"
        )
        .unwrap();
    }
    write!(
        ldif,
        "dn: {READER}\nchangetype: add\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
         cn: reader\nuserPassword: {READER_PASSWORD}\n\n"
    )
    .unwrap();
    for (rdn, below, uid, kind) in [
        ("uid=alice", PEOPLE, "alice", "human"),
        ("uid=bob", PEOPLE, "bob", "human"),
        ("uid=robot", PEOPLE, "robot", "machine"),
        ("uid=carol", "ou=deep,ou=people,dc=example,dc=org", "carol", "human"),
        ("cn=twin one", PEOPLE, "twin", "human"),
        ("cn=twin two", PEOPLE, "twin", "human"),
        ("uid=we(i)rd*\\5cname\\2c \\22\\c3\\b6\\22", PEOPLE, "we(i)rd*\\name, \"ö\"", "human"),
    ] {
        write!(
            ldif,
            "dn: {rdn},{below}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: {cn}\nsn: x\nuid: {uid}\n\
             employeeType: {kind}\nuserPassword: {password}\n\n",
            cn = rdn.strip_prefix("cn=").unwrap_or("x"),
            password = password(uid),
        )
        .unwrap();
    }
    for (group, member) in [("builders", "alice"), ("keepers", "alice"), ("machines", "robot")] {
        write!(
            ldif,
            "dn: cn={group},ou=groups,{BASE}\nchangetype: add\nobjectClass: groupOfNames\ncn: {group}\n\
             member: uid={member},{PEOPLE}\n\n"
        )
        .unwrap();
    }
    ldif
}

/// Returns the password that somebody has at first.
pub(crate) fn password(uid: &str) -> String {
    format!("pass-{}", uid.split(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or("x"))
}

/// Makes an authority, and a certificate of it for 127.0.0.1 alone.
fn certify(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("server.pem"), leaf.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

/// The folders of the administrator count too: they are not on every user's `PATH`.
fn program() -> PathBuf {
    ["/usr/sbin/slapd", "/usr/local/sbin/slapd", "/sbin/slapd"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("slapd"))
}

/// Says whether all threads of a process are stopped.
fn is_stopped(pid: Pid) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    tasks.into_iter().all(|task| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        // The name before the state is in parentheses, and may hold some.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    })
}

/// Waits until somebody listens.
async fn listening(port: u16) -> Result<(), String> {
    let deadline = Instant::now() + LISTEN_PATIENCE;
    while let Err(error) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        if Instant::now() > deadline {
            return Err(format!("nobody listens on {port}: {error}"));
        }
        // Who begins to listen tells nobody.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Returns a port that nothing listens on now; the server cannot choose one, and must come back on it.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
