//! Harbour Clinic: seven categories of data about people who do not exist.

use serde_json::{Value, json};

use crate::demo::practice::records::Records;

pub(super) fn records() -> Records {
    Records::default()
        .with("appointments", "appt", appointments())
        .with("patients", "pat", patients())
        .with("notes", "note", notes())
        .with("contacts", "con", contacts())
        .with("files", "file", files())
        .with("invoices", "inv", invoices())
        .with("practitioners", "prac", practitioners())
}

fn appointments() -> Vec<Value> {
    let booked = [
        ("pat-1", "prac-1", "2026-11-23T09:00:00+11:00", "Knee, follow-up", "confirmed"),
        ("pat-2", "prac-2", "2026-11-23T09:30:00+11:00", "First visit", "booked"),
        ("pat-3", "prac-1", "2026-11-23T10:15:00+11:00", "Blood pressure", "arrived"),
        ("pat-4", "prac-2", "2026-11-23T11:00:00+11:00", "Vaccination", "booked"),
    ];
    booked
        .map(|(patient, practitioner, at, reason, status)| {
            json!({
                "patient": patient, "practitioner": practitioner, "at": at, "minutes": 30,
                "reason": reason, "status": status,
            })
        })
        .to_vec()
}

fn patients() -> Vec<Value> {
    let known = [
        ("Amelia Hart", "1984-03-12", "+61 2 5550 0141", "2950 11111 1"),
        ("Noah Williams", "2016-07-30", "+61 2 5550 0127", "2950 22222 1"),
        ("Priya Raman", "1957-01-05", "+61 2 5550 0163", "2950 33333 1"),
        ("Tomás Ibarra", "1991-11-21", "+61 2 5550 0188", "2950 44444 1"),
    ];
    known
        .map(|(name, born, phone, insurance)| {
            json!({ "name": name, "born": born, "phone": phone, "insurance": insurance })
        })
        .to_vec()
}

fn notes() -> Vec<Value> {
    vec![
        json!({
            "patient": "pat-1", "practitioner": "prac-1", "at": "2026-11-09T09:20:00+11:00",
            "text": "Swelling gone, full extension. Continue exercises, review in two weeks.",
        }),
        json!({
            "patient": "pat-3", "practitioner": "prac-1", "at": "2026-10-26T10:40:00+11:00",
            "text": "BP 148/92 on two readings. Started on 5 mg; diary given.",
        }),
    ]
}

fn contacts() -> Vec<Value> {
    vec![
        json!({ "patient": "pat-2", "name": "Grace Williams", "relation": "mother", "phone": "+61 2 5550 0127" }),
        json!({ "name": "Bayside Radiology", "relation": "referrer", "phone": "+61 2 5550 0110" }),
    ]
}

fn files() -> Vec<Value> {
    vec![
        json!({ "patient": "pat-1", "name": "knee-x-ray.bmp", "type": "image/bmp", "made": "2026-11-02" }),
        json!({ "patient": "pat-3", "name": "chest-x-ray.bmp", "type": "image/bmp", "made": "2026-10-26" }),
    ]
}

fn invoices() -> Vec<Value> {
    vec![
        json!({ "patient": "pat-1", "for": "appt-1", "cents": 8_950, "currency": "AUD", "status": "paid" }),
        json!({ "patient": "pat-3", "for": "appt-3", "cents": 4_285, "currency": "AUD", "status": "open" }),
    ]
}

fn practitioners() -> Vec<Value> {
    vec![
        json!({ "name": "Dr Ingrid Solberg", "profession": "General practitioner", "room": 2 }),
        json!({ "name": "Dr Daniel Achebe", "profession": "Paediatrician", "room": 5 }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_record_names_is_there() {
        let records = records();
        let one = |id: &Value, collection| records.one(collection, id.as_str().unwrap());
        for appointment in records.list("appointments", false) {
            assert!(one(&appointment["patient"], "patients").is_some(), "{appointment}");
            assert!(one(&appointment["practitioner"], "practitioners").is_some(), "{appointment}");
        }
        for invoice in records.list("invoices", false) {
            assert!(one(&invoice["for"], "appointments").is_some(), "{invoice}");
        }
    }
}
