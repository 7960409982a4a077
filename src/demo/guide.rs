//! What `postern demo` says: where things are, the keys, and the lines to try.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::app::reload::Outcome;
use crate::app::serve::Addresses;
use crate::demo::keys::{DemoKeys, OPERATOR, PRACTICE};
use crate::telemetry::paint::Paint;

pub(super) struct Guide<'a> {
    /// How this program was called, for lines that call it again.
    pub(super) program: &'a str,
    pub(super) keys: &'a DemoKeys,
    /// The addresses that were asked for.
    pub(super) wanted: (SocketAddr, SocketAddr),
    pub(super) practice: SocketAddr,
    pub(super) directory: &'a Path,
    pub(super) paint: Paint,
}

/// One line to try: what it shows, whether the gateway lets it through, and what follows
/// `curl`, with words in capitals for what is known only when it runs.
struct Example {
    shows: &'static str,
    passes: bool,
    answer: &'static str,
    command: &'static str,
}

const EXAMPLES: [Example; 10] = [
    Example {
        shows: "read the appointments",
        passes: true,
        answer: "200",
        command: "-i KEYS GATEWAY/v1/appointments",
    },
    Example {
        shows: "book one",
        passes: true,
        answer: "201",
        command: r#"-i KEYS -d '{"patient":"pat-2","at":"2026-11-23T15:30:00+11:00"}' GATEWAY/v1/appointments"#,
    },
    Example {
        shows: "search patients: a POST that reads",
        passes: true,
        answer: "200",
        command: r#"-i KEYS -d '{"name":"wil"}' GATEWAY/v1/patients/search"#,
    },
    Example {
        shows: "download an x-ray picture",
        passes: true,
        answer: "200",
        command: "-o DIR/x-ray.bmp KEYS GATEWAY/v1/files/file-1/content",
    },
    Example {
        shows: "appointments live, by WebSocket",
        passes: true,
        answer: "101",
        command: "-i KEYS -N --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
                    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: cG9zdGVybiBzYXlzIGhpIQ==' GATEWAY/v1/live",
    },
    Example {
        shows: "what this key is, and what is left of its limits",
        passes: true,
        answer: "200",
        command: "-i KEYS GATEWAY/.well-known/postern/whoami",
    },
    Example {
        shows: "change a patient, whom the desk may only read",
        passes: false,
        answer: "403 permission_denied",
        command: r#"-i KEYS -X PATCH -d '{"phone":"-"}' GATEWAY/v1/patients/pat-1"#,
    },
    Example {
        shows: "ask for clinical notes along with the patients",
        passes: false,
        answer: "403 permission_denied",
        command: r#"-i KEYS 'GATEWAY/v1/patients?include=notes'"#,
    },
    Example {
        shows: "a path that no rule speaks of",
        passes: false,
        answer: "403 route_unmapped",
        command: "-i KEYS GATEWAY/v1/payroll",
    },
    Example {
        shows: "no keys at all",
        passes: false,
        answer: "401 subscriber_key_missing",
        command: "-i GATEWAY/v1/appointments",
    },
];

/// The same for the admin listener, in an order that tells a story.
const ADMIN_EXAMPLES: [Example; 6] = [
    Example {
        shows: "list the keys of the practice, and when each was last used",
        passes: true,
        answer: "200",
        command: "-i OPERATOR ADMIN/api/v1/practices/PRACTICE/keys",
    },
    Example {
        shows: "revoke the billing key",
        passes: true,
        answer: "200",
        command: "-i OPERATOR -X DELETE ADMIN/api/v1/keys/BILLING",
    },
    Example {
        shows: "and see that its very next request is refused",
        passes: false,
        answer: "401 key_revoked",
        command: "-i -H @DIR/billing GATEWAY/v1/invoices",
    },
    Example {
        shows: "who did what: nobody can change or drop an entry unseen",
        passes: true,
        answer: "200",
        command: "-i OPERATOR ADMIN/api/v1/audit",
    },
    Example {
        shows: "every request that came, newest first, refused strangers too",
        passes: true,
        answer: "200",
        command: "-i OPERATOR 'ADMIN/api/v1/activity?limit=5'",
    },
    Example {
        shows: "no token at all",
        passes: false,
        answer: "401",
        command: "-i ADMIN/api/v1/practices",
    },
];

impl Guide<'_> {
    /// The whole text. The keys are in it, once.
    pub(super) fn render(&self, addresses: &Addresses) -> String {
        let mut text = String::with_capacity(4096);
        // Writing to a String cannot fail.
        let _infallible = self.write(&mut text, addresses);
        text
    }

    fn write(&self, out: &mut String, addresses: &Addresses) -> std::fmt::Result {
        let Self { keys, paint, directory, practice, .. } = self;
        let gateway = addresses.gateway();
        writeln!(
            out,
            "\n{}",
            paint.bold("Postern is running in front of a sample practice system.")
        )?;
        writeln!(out, "\n  gateway    http://{gateway}{}", self.moved(self.wanted.0, &gateway))?;
        let admin = addresses.admin.to_string();
        writeln!(out, "  admin      http://{admin}{}", self.moved(self.wanted.1, &admin))?;
        writeln!(out, "  practice   http://{practice}  {}", paint.dim("what the gateway guards"))?;
        writeln!(out, "  files      {}", directory.display())?;

        writeln!(out, "\n{}  {}", paint.bold("Keys"), paint.dim("shown once"))?;
        writeln!(out, "\n  vendor     {}", keys.vendor.plain.reveal())?;
        writeln!(out, "  desk       {}", keys.desk.plain.reveal())?;
        writeln!(out, "  billing    {}", keys.billing.plain.reveal())?;
        writeln!(out, "  operator   {}", keys.operator.token.reveal())?;
        let password = keys.operator.password.reveal();
        let account = format!("the password of `{OPERATOR}`: {password}");
        writeln!(out, "             {}", paint.dim(&account))?;

        let try_also =
            paint.dim("as the front desk; write billing in place of desk for what billing may do");
        writeln!(out, "\n{}  {try_also}", paint.bold("Try"))?;
        self.write_examples(out, &EXAMPLES, addresses)?;
        let as_operator = paint.dim("as the operator; each holds when its answer is there");
        writeln!(out, "\n{}  {as_operator}", paint.bold("Manage"))?;
        self.write_examples(out, &ADMIN_EXAMPLES, addresses)?;
        self.write_rest(out)
    }

    fn write_examples(
        &self,
        out: &mut String,
        examples: &[Example],
        addresses: &Addresses,
    ) -> std::fmt::Result {
        let Self { keys, paint, .. } = self;
        let directory = self.directory.display().to_string();
        for example in examples {
            let (mark, answer) = if example.passes {
                (paint.green("✓"), paint.green(example.answer))
            } else {
                (paint.red("✗"), paint.red(example.answer))
            };
            // curl reads headers from files, so that no key stands in a history or a process list.
            let command = example
                .command
                .replace("KEYS", "-H @DIR/desk")
                .replace("OPERATOR", "-H @DIR/operator")
                .replace("DIR", &directory)
                .replace("PRACTICE", PRACTICE)
                .replace("BILLING", keys.billing.id.as_str())
                .replace("GATEWAY", &format!("http://{}", addresses.gateway()))
                .replace("ADMIN", &format!("http://{}", addresses.admin));
            writeln!(out, "\n  {mark} {}  {answer}", example.shows)?;
            writeln!(out, "    curl {command}")?;
        }
        Ok(())
    }

    fn write_rest(&self, out: &mut String) -> std::fmt::Result {
        let Self { keys, paint, .. } = self;
        let directory = self.directory.display();
        writeln!(
            out,
            "\n{}  {}",
            paint.bold("Why?"),
            paint.dim("which rule decides, and what it needs")
        )?;
        let (program, key) = (in_shell(self.program), &keys.desk.id);
        writeln!(
            out,
            "\n    {program} explain --config {directory}/postern.yaml PATCH /v1/patients/pat-1 --key {key}"
        )?;
        let edit = paint.bold("Edit postern.yaml or routes.yaml and save");
        writeln!(
            out,
            "\n{edit}: in about a second you are told here that the change is taken, or what is wrong."
        )?;
        writeln!(out, "Ctrl-C ends the demo and removes them.\n")
    }

    /// Says so where a port was taken.
    fn moved(&self, wanted: SocketAddr, got: &str) -> String {
        let wanted = wanted.to_string();
        if wanted == got || wanted.ends_with(":0") {
            return String::new();
        }
        format!("  {}", self.paint.dim(&format!("{wanted} was taken")))
    }
}

/// What became of a saved change.
pub(super) fn reloaded(outcome: &Outcome, paint: Paint) -> String {
    match outcome {
        Outcome::Applied { .. } => format!("{} Your change is taken.\n", paint.green("✓")),
        Outcome::Rejected(rejection) => {
            let faults: String =
                rejection.to_string().lines().map(|fault| format!("    {fault}\n")).collect();
            let mark = paint.red("✗");
            format!("{mark} Your change is not taken, and what ran before still runs:\n{faults}")
        }
    }
}

/// A word that a shell reads back as the same text.
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::keys::{DemoKey, Operator};
    use crate::model::{KeyId, PlainKey};

    #[test]
    fn the_keys_are_shown_once_and_colour_only_where_asked() {
        let key = |id: &str, text: &str| DemoKey {
            id: KeyId::parse(id).unwrap(),
            plain: PlainKey::new(text.to_owned()),
        };
        let keys = DemoKeys {
            vendor: key("aaaaaaaaaaaa", "secret-of-vendor"),
            desk: key("bbbbbbbbbbbb", "secret-of-desk"),
            billing: key("cccccccccccc", "secret-of-billing"),
            operator: Operator {
                token: PlainKey::new("secret-token".to_owned()),
                password: PlainKey::new("secret-password".to_owned()),
            },
        };
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let addresses = Addresses { gateway: vec![address], admin: address };
        let guide = |coloured| Guide {
            program: "/opt/it's here/postern",
            keys: &keys,
            wanted: (address, "127.0.0.1:8081".parse().unwrap()),
            practice: address,
            directory: Path::new("/tmp/demo"),
            paint: Paint::new(coloured),
        };
        let plain = guide(false).render(&addresses);
        for secret in [
            "secret-of-vendor",
            "secret-of-desk",
            "secret-of-billing",
            "secret-token",
            "secret-password",
        ] {
            assert_eq!(plain.matches(secret).count(), 1, "{secret}");
        }
        for left in ["KEYS", "DIR", "GATEWAY", "ADMIN", "OPERATOR", "BILLING", "PRACTICE"] {
            assert!(!plain.contains(left), "{left} in {plain}");
        }
        assert!(!plain.contains('\x1b') && guide(true).render(&addresses).contains('\x1b'));
        assert_eq!(plain.matches("was taken").count(), 1, "{plain}");
        assert!(
            plain.contains(r"    '/opt/it'\''s here/postern' explain --config /tmp/demo/"),
            "{plain}"
        );
    }
}
