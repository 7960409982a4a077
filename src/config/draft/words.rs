//! Which words of a path or a tag speak for which category of a practice system.

/// The name of a built-in category.
pub(super) type Category = &'static str;

/// Singular, lower case. A word is looked up without its plural ending.
const WORDS: [(Category, &[&str]); 7] = [
    (
        "appointment",
        &[
            "appointment",
            "appt",
            "availability",
            "booking",
            "calendar",
            "diary",
            "reschedule",
            "roster",
            "schedule",
            "slot",
            "waitlist",
        ],
    ),
    (
        "clinical",
        &[
            "allergy",
            "assessment",
            "charting",
            "clinical",
            "condition",
            "consultation",
            "diagnosis",
            "encounter",
            "imaging",
            "immunisation",
            "immunization",
            "lab",
            "medication",
            "note",
            "observation",
            "prescription",
            "problem",
            "procedure",
            "referral",
            "symptom",
            "treatment",
            "vaccination",
            "vital",
        ],
    ),
    ("contact", &["address", "contact", "emergencycontact", "guardian", "nextofkin", "phone"]),
    (
        "files",
        &[
            "attachment",
            "document",
            "download",
            "file",
            "image",
            "letter",
            "photo",
            "scan",
            "upload",
            "xray",
        ],
    ),
    (
        "financial",
        &[
            "billing",
            "charge",
            "claim",
            "deposit",
            "expense",
            "fee",
            "financial",
            "invoice",
            "ledger",
            "payment",
            "payout",
            "quote",
            "receipt",
            "refund",
            "statement",
            "transaction",
        ],
    ),
    ("patient", &["client", "demographic", "patient", "person"]),
    (
        "system",
        &[
            "audit",
            "business",
            "clinic",
            "config",
            "location",
            "permission",
            "practice",
            "practitioner",
            "provider",
            "role",
            "setting",
            "staff",
            "system",
            "user",
            "webhook",
        ],
    ),
];

/// The category that the last telling word of a text speaks for.
pub(super) fn category_of(text: &str) -> Option<Category> {
    let words = split(text);
    let whole = words.concat();
    let found = words.iter().rev().find_map(|word| look_up(word));
    look_up(&whole).or(found)
}

/// Whether a segment is the name of a search.
pub(super) fn is_search(segment: &str) -> bool {
    split(segment).iter().any(|word| ["search", "query", "lookup", "find"].contains(&&**word))
}

fn look_up(word: &str) -> Option<Category> {
    let forms = [
        Some(word.to_owned()),
        word.strip_suffix('s').map(str::to_owned),
        word.strip_suffix("es").map(str::to_owned),
        word.strip_suffix("ies").map(|stem| format!("{stem}y")),
        word.strip_suffix("ses").map(|stem| format!("{stem}sis")),
    ];
    let knows = |words: &[&str]| forms.iter().flatten().any(|form| words.contains(&form.as_str()));
    WORDS.iter().find(|(_, words)| knows(words)).map(|(category, _)| *category)
}

/// `treatmentNotes`, `treatment-notes` and `treatment_notes` are two words each, in lower case.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last_was_lower = false;
    for c in text.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && last_was_lower);
        if begins {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        last_was_lower = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_every_spelling() {
        let cases = [
            ("patients", Some("patient")),
            ("treatment-notes", Some("clinical")),
            ("treatmentNotes", Some("clinical")),
            ("diagnoses", Some("clinical")),
            ("allergies", Some("clinical")),
            ("addresses", Some("contact")),
            ("next_of_kin", Some("contact")),
            ("PatientAttachments", Some("files")),
            ("invoice_items", Some("financial")),
            ("Practitioner", Some("system")),
            ("v1", None),
            ("widgets", None),
            ("", None),
        ];
        for (text, category) in cases {
            assert_eq!(category_of(text), category, "{text}");
        }
    }

    #[test]
    fn searches_are_known_by_name() {
        assert!(is_search("search") && is_search("patientSearch") && !is_search("research"));
    }
}
