//! Who is calling: what the two keys of a request say together.

use std::ops::Deref;
use std::sync::Arc;

use crate::model::access::Access;
use crate::model::catalogue::{Grants, Need, ScopeId};
use crate::model::id::{ApiId, UpstreamId};
use crate::model::limit::RateLimit;
use crate::model::refusal::Refusal;

/// A caller whose keys were both found genuine. It reads as its [`Subscriber`]; making one allocates nothing.
#[derive(Clone, Debug)]
pub struct Caller {
    pub subscriber: Arc<Subscriber>,
    /// None where the configuration asks for no vendor key and none came.
    pub vendor: Option<Arc<str>>,
    /// Of an access token that was made for less than its key may.
    pub narrowed: Option<Grants>,
    /// What stands against it whatever it asks for; told once the route is known.
    pub objection: Option<Refusal>,
    /// Of the practice's region, in place of the API's.
    pub upstream: Option<UpstreamId>,
}

impl Caller {
    /// A caller with nothing against it, by its key itself and not by a token.
    pub fn new(subscriber: Arc<Subscriber>, vendor: Option<Arc<str>>) -> Self {
        Self { subscriber, vendor, narrowed: None, objection: None, upstream: None }
    }

    /// What it may do on a scope: what its key was granted, and no more than what its token was made for.
    pub fn granted(&self, scope: ScopeId) -> Access {
        let of_key = self.subscriber.grants.on(scope);
        self.narrowed.as_ref().map_or(of_key, |narrowed| of_key.both(narrowed.on(scope)))
    }

    pub fn meets(&self, need: Need) -> bool {
        self.granted(need.scope).covers(need.access)
    }
}

/// The half of a caller that the subscriber key says.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// Shared with every other key of the practice, as is the owner's: there are many keys.
    pub practice: Arc<str>,
    /// The public id of the subscriber key.
    pub key_id: Box<str>,
    /// The staff user that the subscriber key belongs to.
    pub owner: Arc<str>,
    /// The one API that the subscriber key is for.
    pub api: ApiId,
    pub grants: Grants,
    /// Its own, in place of the configuration's.
    pub limit: Option<Box<RateLimit>>,
}

impl Deref for Caller {
    type Target = Subscriber;

    fn deref(&self) -> &Subscriber {
        &self.subscriber
    }
}
