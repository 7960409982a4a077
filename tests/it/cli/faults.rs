//! Configurations that cannot be used: each is refused with a place and a reason, and none with a crash.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::cli::{CONFIG, Desk, ROUTES};
use crate::support::tls::Authority;

#[test]
fn faults_are_lines_with_a_place_on_stdout() {
    let desk = Desk::new();
    desk.write(
        "routes.yaml",
        ROUTES
            .replace("category: patient\n    methods", "category: patients\n    methods")
            .as_bytes(),
    );
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 1);
    let line = said.out.lines().next().unwrap();
    assert!(line.starts_with("routes.yaml:6:15: "), "{line}");
    assert!(line.contains("patients") && line.contains(" — "), "{line}");
    assert_eq!(said.err, "postern: 1 fault in postern.yaml\n");

    let json = desk.run(&["check", "--config", "postern.yaml", "--json"]).json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["faults"][0]["line"], 6);
    assert!(json["faults"][0]["hint"].is_string());
}

#[test]
fn all_faults_are_found_at_once() {
    let desk = Desk::new();
    let config = CONFIG.replace("mount: /v1", "mout: /v1").replace("upstreams:", "upstream:");
    desk.write("postern.yaml", config.as_bytes());
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.out.lines().count() >= 2, "{}", said.out);
    assert!(said.out.contains("did you mean"), "{}", said.out);
}

#[test]
fn other_commands_put_faults_on_stderr() {
    let desk = Desk::new();
    desk.write("bad.yaml", b"listen: 7\n");
    let commands: [&[&str]; 4] = [
        &["explain", "--config", "bad.yaml", "GET", "/"],
        &["diff", "--config", "bad.yaml", "--against", "postern.yaml"],
        &["diff", "--config", "postern.yaml", "--against", "bad.yaml"],
        &["routes", "list", "--config", "bad.yaml"],
    ];
    for args in commands {
        let said = desk.run(args);
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{args:?}");
        assert!(said.err.contains("\nbad.yaml:1:"), "{args:?} {}", said.err);
    }
}

/// CF-01: files that are no configuration.
#[test]
fn what_is_no_configuration_is_refused() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='z')
            .zip('a'..)
            .map(|(this, last)| {
                format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(","))
            })
            .collect::<String>();
    let deep = "[".repeat(100_000);
    let garbage: Vec<u8> = (0..=255).cycle().take(4096).collect();
    let marked = format!("\u{feff}{CONFIG}");
    let windows = CONFIG.replace('\n', "\r\n");
    let cases: [(&str, &[u8]); 11] = [
        ("byte order mark", marked.as_bytes()),
        ("line ends of Windows", windows.as_bytes()),
        ("empty", b""),
        ("blank", b" \n\n# nothing\n"),
        ("list", b"- 1\n"),
        ("scalar", b"postern"),
        ("garbage", &garbage),
        ("not UTF-8", b"listen: \xff\xfe\n"),
        ("tab", b"listen:\n\tgateway: 127.0.0.1:0\n"),
        ("alias bomb", bomb.as_bytes()),
        ("deep", deep.as_bytes()),
    ];
    let desk = Desk::new();
    for (name, bytes) in cases {
        desk.write("bad.yaml", bytes);
        let said = desk.run(&["check", "--config", "bad.yaml"]);
        assert_eq!(said.code, 1, "{name}: {}", said.out);
        assert!(said.out.starts_with("bad.yaml:"), "{name}: {}", said.out);
        assert!(!said.err.contains("panicked"), "{name}: {}", said.err);
    }
}

/// CF-01: paths that are no file.
#[test]
fn what_cannot_be_read_is_refused() {
    let desk = Desk::new();
    desk.write("sealed.yaml", CONFIG.as_bytes());
    let sealed = desk.path().join("sealed.yaml");
    std::fs::set_permissions(&sealed, Permissions::from_mode(0o000)).unwrap();
    std::fs::create_dir(desk.path().join("directory")).unwrap();
    let huge = std::fs::File::create(desk.path().join("huge.yaml")).unwrap();
    huge.set_len(1 << 30).unwrap();
    // Root reads everything.
    let is_root = std::fs::read(&sealed).is_ok();
    for name in ["missing.yaml", "directory", "huge.yaml", "/dev/zero", "sealed.yaml"] {
        if name == "sealed.yaml" && is_root {
            continue;
        }
        let said = desk.run(&["check", "--config", name]);
        assert_eq!(said.code, 1, "{name}: {}", said.out);
        assert!(said.out.starts_with(&format!("{name}:1:1: ")), "{name}: {}", said.out);
    }
}

#[test]
fn what_is_no_file_comes_with_a_remedy() {
    let said = Desk::new().run(&["check", "--config", "/dev/null"]);
    assert!(said.out.contains("not a regular file; save what it gives in one"), "{}", said.out);
}

/// The place of a fault is said once, at its beginning.
#[test]
fn a_template_that_is_no_json_is_told_in_one_place() {
    let desk = Desk::new();
    desk.write("postern.yaml", format!("{CONFIG}errors: error.json\n").as_bytes());
    desk.write("error.json", b"{\n  \"code\": }");
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.out, "error.json:2:11: the template is not JSON: expected value\n");
}

#[test]
fn a_certificate_that_cannot_be_used_is_found() {
    let desk = Desk::new();
    let tls = "listen: { tls: { certificate: g.crt, private_key: g.key },";
    desk.write("postern.yaml", CONFIG.replace("listen: {", tls).as_bytes());
    desk.write("g.crt", b"not a certificate\n");
    desk.write("g.key", b"not a key\n");
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.out.contains("g.crt"), "{}", said.out);
}

/// Certificates and keys are told of together, and beside faults of other kinds.
#[test]
fn all_faults_of_certificates_are_found_at_once() {
    let desk = Desk::new();
    let (authority, other) = (Authority::new(), Authority::new());
    desk.write("good.crt", authority.issue("gw.test").certificate.as_bytes());
    desk.write("other.key", other.issue("gw.test").key.as_bytes());
    desk.write("junk.pem", b"not a certificate\n");
    let listen = "\
listen:
  gateway: 127.0.0.1:0
  admin: 127.0.0.1:0
  tls: { certificate: junk.pem, private_key: other.key }
  admin_tls: { certificate: good.crt, private_key: other.key }
upstreams:
  practice:
    url: https://127.0.0.1:9000
    tls: { ca: junk.pem, certificate: good.crt, private_key: other.key }
";
    let (_, rest) = CONFIG.split_once("apis:").unwrap();
    let config = format!("{listen}apis:{rest}");
    for (config, found) in [
        (config.clone(), vec!["4:23", "5:52", "9:16", "9:62"]),
        (config + "proxy: { workers: many }\n", vec!["4:23", "5:52", "9:16", "9:62", "11:19"]),
    ] {
        desk.write("postern.yaml", config.as_bytes());
        let said = desk.run(&["check", "--config", "postern.yaml"]);
        let places: Vec<_> =
            said.out.lines().map(|line| line.split(": ").next().unwrap()).collect();
        let expected: Vec<_> = found.iter().map(|at| format!("postern.yaml:{at}")).collect();
        assert_eq!(places, expected, "{}", said.out);
    }
}

#[test]
fn a_thousand_routes_are_checked() {
    let desk = Desk::new();
    let routes: String = (0..1_000)
        .map(|n| format!("  - path: /v1/resource{n}/{{id:int}}/**\n    category: patient\n"))
        .collect();
    desk.write("routes.yaml", format!("version: 1\nroutes:\n{routes}").as_bytes());
    let said = desk.run(&["check", "--config", "postern.yaml"]);
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(said.out.contains("1000 routes"), "{}", said.out);
}
