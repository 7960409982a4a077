//! A block as it is read: part by part, each checked as a whole before anything is taken from it.

use std::net::{IpAddr, Ipv6Addr};

use crate::model::record::Text;
use crate::model::{
    AccessRecord, Decision, LaneId, Opening, Outcome, RecordId, RequestId, Timestamp,
};
use crate::store::access::{Cursor, Filter};
use crate::store::embedded::access::column::{Damaged, Kind, Reader, Texts, unfold};

/// Where the records of a block stand.
#[derive(Debug)]
pub(in crate::store::embedded::access) struct Places {
    moments: Vec<i64>,
    lanes: Vec<u64>,
    nodes: Texts,
    of: Vec<u32>,
    seqs: Vec<u64>,
}

impl Places {
    pub(in crate::store::embedded::access) fn read(part: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::open(Kind::Places, part)?;
        let count = reader.count()?;
        let lane_count = reader.count()?;
        let lanes = reader.numbers(lane_count)?;
        let nodes = reader.texts(lane_count)?;
        let mut moment = unfold(reader.number()?);
        let mut moments = Vec::with_capacity(count.min(part.len()));
        for later in reader.numbers(count)? {
            moment =
                moment.checked_add_unsigned(later).ok_or(Damaged("a moment is beyond time"))?;
            moments.push(moment);
        }
        let of = reader.indexes(count, lane_count as u64)?;
        let mut last = vec![0_u64; lane_count];
        let mut seqs = Vec::with_capacity(moments.len());
        for (lane, more) in of.iter().zip(reader.numbers(count)?) {
            let seq = last.get_mut(*lane as usize).ok_or(Damaged("an index leads nowhere"))?;
            *seq = seq.wrapping_add(unfold(more).cast_unsigned());
            seqs.push(*seq);
        }
        reader.end()?;
        let places = Self { moments, lanes, nodes, of, seqs };
        let in_order = (1..count).all(|index| places.at(index - 1) < places.at(index));
        if in_order { Ok(places) } else { Err(Damaged("records are not in order")) }
    }

    pub(in crate::store::embedded::access) fn len(&self) -> usize {
        self.moments.len()
    }

    /// Of a record that is there.
    pub(in crate::store::embedded::access) fn at(&self, index: usize) -> Option<Cursor> {
        let lane = *self.lanes.get(*self.of.get(index)? as usize)?;
        let id = RecordId { lane: LaneId(lane), seq: *self.seqs.get(index)? };
        Some(Cursor { ts: Timestamp::from_micros(*self.moments.get(index)?), id })
    }

    /// How many come before a place, oldest first.
    pub(in crate::store::embedded::access) fn before(&self, bound: Cursor) -> usize {
        let earlier = self.moments.partition_point(|moment| *moment < bound.ts.as_micros());
        let more =
            (earlier..self.len()).take_while(|index| self.at(*index).is_some_and(|at| at < bound));
        earlier + more.count()
    }

    /// How many are before a moment.
    pub(in crate::store::embedded::access) fn earlier(&self, moment: Timestamp) -> usize {
        self.moments.partition_point(|other| *other < moment.as_micros())
    }
}

#[derive(Debug)]
struct Shape {
    texts: [u32; 8],
    decision: Decision,
    status: u16,
}

/// What filters ask of the records of a block.
#[derive(Debug)]
pub(in crate::store::embedded::access) struct Facts {
    texts: Texts,
    shapes: Vec<Shape>,
    of: Vec<u32>,
}

impl Facts {
    pub(in crate::store::embedded::access) fn read(
        part: &[u8],
        count: usize,
    ) -> Result<Self, Damaged> {
        let mut reader = Reader::open(Kind::Facts, part)?;
        let text_count = reader.count()?;
        let texts = reader.texts(text_count)?;
        let shape_count = reader.count()?;
        let columns = reader.indexes(shape_count.saturating_mul(10), u64::from(u32::MAX))?;
        let column =
            |number: usize, shape: usize| columns.get(number * shape_count + shape).copied();
        let mut shapes = Vec::with_capacity(columns.len() / 10);
        for shape in 0..shape_count {
            let mut indexes = [0; 8];
            for (number, index) in indexes.iter_mut().enumerate() {
                let found = column(number, shape).filter(|index| (*index as usize) < texts.len());
                *index = found.ok_or(Damaged("an index leads nowhere"))?;
            }
            let decision = column(8, shape).and_then(|number| Decision::ALL.get(number as usize));
            let status = column(9, shape).and_then(|number| u16::try_from(number).ok());
            let (Some(decision), Some(status)) = (decision, status) else {
                return Err(Damaged("a decision or a status is none"));
            };
            shapes.push(Shape { texts: indexes, decision: *decision, status });
        }
        let of = reader.indexes(count, shape_count as u64)?;
        reader.end()?;
        Ok(Self { texts, shapes, of })
    }

    /// Of each record, whether it passes.
    pub(in crate::store::embedded::access) fn passing(&self, filter: &Filter) -> Vec<bool> {
        let nobody = blank();
        let passing: Vec<bool> = self
            .shapes
            .iter()
            .map(|shape| {
                let mut record = nobody.clone();
                self.fill(shape, &mut record);
                filter.takes(&record)
            })
            .collect();
        self.of.iter().map(|shape| passing.get(*shape as usize).copied().unwrap_or(false)).collect()
    }

    fn fill<'a>(&'a self, shape: &Shape, record: &mut AccessRecord<'a>) {
        let [vendor, owner, api, method, route, category, access, code] =
            shape.texts.map(|index| Text::Borrowed(self.texts.get(index)));
        let (opening, outcome) = (&mut record.opening, &mut record.outcome);
        (opening.vendor, opening.owner, opening.api, opening.method) = (vendor, owner, api, method);
        (opening.route, opening.category, opening.access) = (route, category, access);
        (outcome.code, outcome.decision, outcome.status) = (code, shape.decision, shape.status);
    }
}

fn blank<'a>() -> AccessRecord<'a> {
    AccessRecord {
        id: RecordId { lane: LaneId(0), seq: 0 },
        node: Text::Borrowed(""),
        opening: Opening {
            ts: Timestamp::default(),
            request_id: RequestId::new(0),
            practice: Text::Borrowed(""),
            key: Text::Borrowed(""),
            vendor: Text::Borrowed(""),
            owner: Text::Borrowed(""),
            api: Text::Borrowed(""),
            method: Text::Borrowed(""),
            route: Text::Borrowed(""),
            path: Text::Borrowed(""),
            category: Text::Borrowed(""),
            access: Text::Borrowed(""),
            ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            user_agent: Text::Borrowed(""),
        },
        outcome: Outcome {
            decision: Decision::Allow,
            code: Text::Borrowed(""),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            duration_us: 0,
            upstream_us: None,
            count: 1,
        },
    }
}

/// Everything else of the records of a block.
#[derive(Debug)]
pub(in crate::store::embedded::access) struct Rest {
    texts: Texts,
    callers: Vec<(IpAddr, u32)>,
    of: Vec<u32>,
    paths: Vec<u32>,
    bytes_in: Vec<u64>,
    bytes_out: Vec<u64>,
    durations: Vec<u64>,
    has_upstream: Vec<u32>,
    less: Vec<u64>,
    counts: Vec<u64>,
    ids: Vec<u8>,
}

impl Rest {
    pub(in crate::store::embedded::access) fn read(
        part: &[u8],
        count: usize,
    ) -> Result<Self, Damaged> {
        let mut reader = Reader::open(Kind::Rest, part)?;
        let text_count = reader.count()?;
        let texts = reader.texts(text_count)?;
        let callers = read_callers(&mut reader, text_count)?;
        let rest = Self {
            of: reader.indexes(count, callers.len() as u64)?,
            paths: reader.indexes(count, text_count as u64 + 1)?,
            bytes_in: reader.numbers(count)?,
            bytes_out: reader.numbers(count)?,
            durations: reader.numbers(count)?,
            has_upstream: reader.indexes(count, 2)?,
            less: reader.numbers(count)?,
            counts: reader.numbers(count)?,
            ids: reader.column()?.into_owned(),
            texts,
            callers,
        };
        reader.end()?;
        let counts_fit = rest.counts.iter().all(|count| u32::try_from(*count).is_ok());
        let fits = rest.ids.len() == count.saturating_mul(16) && counts_fit;
        if fits { Ok(rest) } else { Err(Damaged("a column has another length")) }
    }

    fn fill<'a>(&'a self, index: usize, record: &mut AccessRecord<'a>) -> Option<()> {
        let (ip, user_agent) = *self.callers.get(*self.of.get(index)? as usize)?;
        let AccessRecord { opening, outcome, .. } = record;
        opening.ip = ip;
        opening.user_agent = Text::Borrowed(self.texts.get(user_agent));
        opening.path = match self.paths.get(index)?.checked_sub(1) {
            None => opening.route.clone(),
            Some(text) => Text::Borrowed(self.texts.get(text)),
        };
        let id = self.ids.get(index * 16..)?.first_chunk()?;
        opening.request_id = RequestId::new(u128::from_le_bytes(*id));
        outcome.bytes_in = *self.bytes_in.get(index)?;
        outcome.bytes_out = *self.bytes_out.get(index)?;
        outcome.duration_us = *self.durations.get(index)?;
        let less = unfold(*self.less.get(index)?).cast_unsigned();
        let upstream = outcome.duration_us.wrapping_sub(less);
        outcome.upstream_us = (*self.has_upstream.get(index)? == 1).then_some(upstream);
        outcome.count = u32::try_from(*self.counts.get(index)?).ok()?;
        Some(())
    }
}

fn read_callers(reader: &mut Reader<'_>, texts: usize) -> Result<Vec<(IpAddr, u32)>, Damaged> {
    let count = reader.count()?;
    let user_agents = reader.indexes(count, texts as u64)?;
    let addresses = reader.column()?;
    let is_v6 = reader.indexes(count, 2)?;
    let (addresses, over) = addresses.as_chunks::<16>();
    if addresses.len() != count || !over.is_empty() {
        return Err(Damaged("a column has another length"));
    }
    let ip = |octets: &[u8; 16], is_v6: u32| {
        let ip = Ipv6Addr::from(*octets);
        let mapped = ip.to_ipv4_mapped().filter(|_| is_v6 == 0);
        mapped.map_or(IpAddr::V6(ip), IpAddr::V4)
    };
    let ips = addresses.iter().zip(is_v6).map(|(octets, is_v6)| ip(octets, is_v6));
    Ok(ips.zip(user_agents).collect())
}

/// One record, put together again.
pub(in crate::store::embedded::access) fn record<'a>(
    index: usize,
    owner: (&'a str, &'a str),
    places: &'a Places,
    facts: &'a Facts,
    rest: &'a Rest,
) -> Option<AccessRecord<'a>> {
    let mut record = blank();
    let place = places.at(index)?;
    record.id = place.id;
    record.node = Text::Borrowed(places.nodes.get(*places.of.get(index)?));
    record.opening.ts = place.ts;
    (record.opening.practice, record.opening.key) = (owner.0.into(), owner.1.into());
    facts.fill(facts.shapes.get(*facts.of.get(index)? as usize)?, &mut record);
    rest.fill(index, &mut record)?;
    Some(record)
}
