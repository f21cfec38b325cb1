//! Goal: the users are those of the file as it is now, within a second; what is wrong with it is
//! told once. Method: a real file in a temporary folder is changed in every way in which operators
//! change it, and looked at with instants that the test makes.

use super::*;

const HASH: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

struct Fixture {
    folder: tempfile::TempDir,
    file: Arc<AccountFile>,
}

impl Fixture {
    /// Makes a folder, with that file in it, and looks.
    fn new(content: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        Self { file: Arc::new(AccountFile::open(path)), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    fn write(&self, content: &str) {
        fs::write(self.path(), content).unwrap();
    }

    /// Looks, and returns the notices in short.
    fn look(&self) -> Vec<String> {
        let short = |notice: &Notice| match notice {
            Notice::Read { users } => format!("read {users}"),
            Notice::Weak { users } => format!("weak {users}"),
            Notice::Ignored(line) => format!("ignored {} {:?}", line.number, line.user),
            Notice::IgnoredMore { lines } => format!("ignored {lines} more"),
            Notice::Absent => "absent".to_owned(),
            Notice::Unreadable { users, .. } => format!("unreadable {users}"),
        };
        self.file.look().iter().map(short).collect()
    }

    fn knows(&self, user: &str) -> bool {
        self.file.edition().users().hash(user).is_some()
    }
}

fn line(user: &str) -> String {
    format!("{user}:{HASH}\n")
}

#[test]
fn hashes_of_md5_are_taken_and_complained_about() {
    let fixture = Fixture::new(None);
    fixture.write(&(line("ada") + "bob:$apr1$abcdefgh$0123456789012345678901\n"));
    assert_eq!(fixture.look(), ["read 2", "weak 1"]);
    assert!(fixture.knows("bob"));
}

#[test]
fn a_change_is_seen_however_it_is_made() {
    let fixture = Fixture::new(Some(&line("ada")));
    assert!(fixture.knows("ada"));
    assert_eq!(fixture.look(), [""; 0]);

    fixture.write(&(line("ada") + &line("bob")));
    assert_eq!(fixture.look(), ["read 2"]);
    assert!(fixture.knows("bob"));

    // A rename over it, of a file of the same size and time: only the inode differs.
    let modified = fs::metadata(fixture.path()).unwrap().modified().unwrap();
    let other = fixture.folder.path().join("other");
    fs::write(&other, line("ada") + &line("eve")).unwrap();
    fs::File::options().append(true).open(&other).unwrap().set_modified(modified).unwrap();
    fs::rename(&other, fixture.path()).unwrap();
    assert_eq!(fixture.look(), ["read 2"]);
    assert!(fixture.knows("eve") && !fixture.knows("bob"));

    // The swap of a link, as Kubernetes does it.
    let (first, second) = (fixture.folder.path().join("1"), fixture.folder.path().join("2"));
    fs::write(&first, line("ada")).unwrap();
    fs::write(&second, line("bob")).unwrap();
    for (target, user) in [(first, "ada"), (second, "bob")] {
        let link = fixture.folder.path().join("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        fs::rename(link, fixture.path()).unwrap();
        assert_eq!(fixture.look(), ["read 1"]);
        assert!(fixture.knows(user));
    }
    assert_eq!(fixture.look(), [""; 0]);
}

#[test]
fn an_absent_file_has_no_users_and_is_told_once() {
    let fixture = Fixture::new(None);
    assert_eq!(fixture.look(), [""; 0]);
    assert_eq!(fixture.file.edition().users().len(), 0);
    fixture.write(&line("ada"));
    assert_eq!(fixture.look(), ["read 1"]);
    fs::remove_file(fixture.path()).unwrap();
    assert_eq!(fixture.look(), ["absent"]);
    assert!(!fixture.knows("ada"));
    assert_eq!(fixture.look(), [""; 0]);
    fixture.write(&line("ada"));
    assert_eq!(fixture.look(), ["read 1"]);
    assert!(fixture.knows("ada"));
}

#[test]
fn an_unreadable_file_keeps_the_users_and_is_told_once() {
    let fixture = Fixture::new(Some(&line("ada")));
    fs::remove_file(fixture.path()).unwrap();
    // A folder cannot be read by anybody, not even by root.
    fs::create_dir(fixture.path()).unwrap();
    assert_eq!(fixture.look(), ["unreadable 1"]);
    assert_eq!(fixture.look(), [""; 0]);
    assert!(fixture.knows("ada"));
    fs::remove_dir(fixture.path()).unwrap();
    assert_eq!(fixture.look(), ["absent"]);
    assert!(!fixture.knows("ada"));
    fs::create_dir(fixture.path()).unwrap();
    assert_eq!(fixture.look(), ["unreadable 0"]);
    fs::remove_dir(fixture.path()).unwrap();
    fixture.write(&line("ada"));
    assert_eq!(fixture.look(), ["read 1"]);
}

#[test]
fn p6_a_file_that_is_too_large_is_unreadable() {
    let fixture = Fixture::new(Some(&line("ada")));
    let size = |size| fs::File::options().write(true).open(fixture.path()).unwrap().set_len(size).unwrap();
    size(FILE_BYTES_MAX + 1);
    assert_eq!(fixture.look(), ["unreadable 1"]);
    assert!(fixture.knows("ada"));
    size(line("ada").len() as u64);
    assert_eq!(fixture.look(), ["read 1"]);
}

#[test]
fn p6_complaints_are_bounded() {
    let faulty = |count: usize| (0..count).map(|at| format!("user{at}:plain\n")).collect::<String>();
    let fixture = Fixture::new(None);
    fixture.write(&(faulty(1) + &line("ada")));
    assert_eq!(fixture.look(), ["read 1", "ignored 1 Some(\"user0\")"]);
    fixture.write(&faulty(COMPLAINTS_MAX + 5));
    let notices = fixture.look();
    assert_eq!(notices.len(), 1 + COMPLAINTS_MAX + 1);
    assert_eq!(notices[COMPLAINTS_MAX + 1], "ignored 5 more");
}

#[test]
fn every_edition_has_its_number() {
    let fixture = Fixture::new(Some(&line("ada")));
    let mut numbers = vec![fixture.file.edition().number()];
    // Each of another size: two writes within one tick of the file system's clock look alike.
    for content in [&*line("somebody"), "", &*line("ada")] {
        fixture.write(content);
        fixture.look();
        numbers.push(fixture.file.edition().number());
    }
    fs::remove_file(fixture.path()).unwrap();
    fixture.look();
    numbers.push(fixture.file.edition().number());
    assert!(numbers.is_sorted_by(|before, after| before < after), "{numbers:?}");
}

#[tokio::test]
async fn a_change_is_looked_for_once_a_second() {
    let fixture = Fixture::new(Some(&line("ada")));
    let start = Instant::now();
    let users = async |now| fixture.file.current(now).await.users().len();
    assert_eq!(users(start).await, 1);
    fixture.write(&(line("ada") + &line("bob")));
    let just_before = LOOK_INTERVAL - Duration::from_nanos(1);
    assert_eq!(users(start).await, 1);
    assert_eq!(users(start + just_before).await, 1);
    assert_eq!(users(start + LOOK_INTERVAL).await, 2);
    fixture.write("");
    assert_eq!(users(start + LOOK_INTERVAL + just_before).await, 2);
    assert_eq!(users(start + LOOK_INTERVAL * 2).await, 0);
}

#[test]
fn a_look_that_hangs_holds_up_no_other() {
    let fixture = Fixture::new(Some(&line("ada")));
    fixture.write("");
    let looking = fixture.file.seen.lock().unwrap();
    assert_eq!(fixture.look(), [""; 0]);
    assert!(fixture.knows("ada"));
    drop(looking);
    assert_eq!(fixture.look(), ["read 0"]);
}
