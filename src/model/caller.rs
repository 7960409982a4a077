//! Who is calling: what the two keys of a request say together.

use std::ops::Deref;
use std::sync::Arc;

use crate::model::catalogue::Grants;
use crate::model::id::ApiId;

/// A caller whose keys were both found genuine. It reads as its [`Subscriber`]; making one allocates nothing.
#[derive(Clone, Debug)]
pub struct Caller {
    pub subscriber: Arc<Subscriber>,
    pub vendor: Arc<str>,
}

/// The half of a caller that the subscriber key says.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub practice: String,
    /// The public id of the subscriber key.
    pub key_id: String,
    /// The staff user that the subscriber key belongs to.
    pub owner: String,
    /// The one API that the subscriber key is for.
    pub api: ApiId,
    pub grants: Grants,
}

impl Deref for Caller {
    type Target = Subscriber;

    fn deref(&self) -> &Subscriber {
        &self.subscriber
    }
}
