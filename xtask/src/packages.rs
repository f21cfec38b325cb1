//! What tests need beyond cargo: looked for by its programs, installed through apt as root on Debian.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::process::{is_on_path, is_root};
use crate::tally::Tally;

/// One Debian package, and the trace by which it is known: a program, or a file.
///
/// By traces, not by dpkg: a machine with an engine or a compiler from elsewhere needs no second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Package {
    name: &'static str,
    trace: &'static str,
}

const fn package(name: &'static str, trace: &'static str) -> Package {
    Package { name, trace }
}

/// What the tests use.
pub(crate) const FOR_TESTS: &[Package] = &[
    package("docker.io", "dockerd"),
    package("containerd", "ctr"),
    package("skopeo", "skopeo"),
    package("podman", "podman"),
    package("buildah", "buildah"),
    package("nginx-light", "nginx"),
    package("docker-registry", "docker-registry"),
    package("apache2-utils", "htpasswd"),
    package("slapd", "slapd"),
    package("ldap-utils", "ldapmodify"),
    package("curl", "curl"),
    package("strace", "strace"),
    package("xfsprogs", "mkfs.xfs"),
    package("e2fsprogs", "mkfs.ext4"),
    package("fuse-overlayfs", "fuse-overlayfs"),
    package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    package("python3-venv", "python3"),
    package("npm", "npm"),
    package("gcc", "gcc"),
    package("libc6-dev", "/usr/include/stdio.h"),
];

/// What the tests of crashes use.
pub(crate) const FOR_CRASHES: &[Package] = &[
    package("strace", "strace"),
    package("xfsprogs", "mkfs.xfs"),
    package("e2fsprogs", "mkfs.ext4"),
    package("gcc", "gcc"),
    package("libc6-dev", "/usr/include/stdio.h"),
];

/// What the comparison of speed uses.
pub(crate) const FOR_BENCH: &[Package] =
    &[package("nginx-light", "nginx"), package("wrk", "wrk"), package("openssl", "openssl")];

impl Package {
    fn is_present(self) -> bool {
        if self.trace.starts_with('/') { Path::new(self.trace).exists() } else { is_on_path(self.trace) }
    }
}

/// Installs what is missing where that is possible, and returns what is still missing.
pub(crate) fn ensure(packages: &[Package]) -> Vec<&'static str> {
    let absent = absent(packages);
    if absent.is_empty() {
        return absent;
    }
    println!("missing packages: {}", absent.join(" "));
    if !is_root() || !is_on_path("apt-get") {
        println!("not installed, since this is not root on Debian; do: apt-get install {}", absent.join(" "));
        return absent;
    }
    if !(apt(&["update"])
        && apt(&[&["install", "-y", "--no-install-recommends"], absent.as_slice()].concat()))
    {
        println!("apt-get failed");
    }
    self::absent(packages)
}

/// Counts packages that are still missing. Where everything is prepared (`CI=true`) each is a failure;
/// elsewhere the tests that need them say that they are skipped, and are counted there.
pub(crate) fn judge(missing: &[&str], ci: bool) -> Tally {
    for name in missing {
        println!("missing {name}: what needs it {}", if ci { "fails" } else { "is skipped" });
    }
    Tally { failed: if ci { missing.len() as u64 } else { 0 }, ..Tally::default() }
}

/// Says whether this is a prepared machine, on which nothing may be missing.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

fn absent(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().filter(|package| !package.is_present()).map(|package| package.name).collect()
}

/// Calls apt-get without questions. With run level 1 Debian's scripts start no service, and a freshly
/// installed registry or web server does not take a port of this machine.
fn apt(args: &[&str]) -> bool {
    println!("$ apt-get {}", args.join(" "));
    Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::{absent, judge, package};
    use crate::tally::Tally;

    #[test]
    fn a_package_is_known_by_its_trace() {
        let packages = [
            package("dash", "sh"),
            package("base", "/etc/passwd"),
            package("ghost", "no-such-program-of-ours"),
            package("phantom", "/no/such/file"),
        ];
        assert_eq!(absent(&packages), ["ghost", "phantom"]);
    }

    #[test]
    fn a_missing_package_fails_where_all_is_prepared() {
        assert_eq!(judge(&["skopeo", "podman"], true), Tally { passed: 0, failed: 2, skipped: 0 });
        assert_eq!(judge(&["skopeo"], false), Tally::default());
    }
}
