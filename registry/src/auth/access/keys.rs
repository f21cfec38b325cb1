//! Keys that users make, as the façade has them: who may make, see and revoke them, and what they open.

use super::{Access, Authorization, Login, LoginError, Presented, Proof, Refusal, WithCauses};
use crate::auth::api_keys::{ApiKey, ApiKeySecret, ApiKeyWish, ApiKeys, Maker};
use crate::auth::credentials::Credentials;
use crate::auth::error::ApiKeyError;
use crate::auth::identity::{Account, Identity, Origin};
use crate::auth::options::Action;
use crate::clock::Timestamp;

/// Whose keys are meant, by somebody who may see to them.
#[derive(Debug, Clone)]
pub struct KeyOwner {
    user: String,
    /// What vouches for him, if it is himself: nobody makes a key for another.
    maker: Option<Origin>,
    /// Until when what vouches for him is good.
    until: Option<Timestamp>,
}

impl KeyOwner {
    /// Returns whose they are.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl Access {
    pub(super) async fn login_by_key(
        &self,
        keys: &ApiKeys,
        user: &str,
        key: &Presented,
    ) -> Result<Login, LoginError> {
        let verified = keys.verify(user, key).await.map_err(|error| {
            tracing::error!(
                error = %WithCauses(&error),
                "the key of a user cannot be looked up"
            );
            LoginError::Unavailable
        })?;
        let Some(verified) = verified else { return self.refuse().await };
        let account = match (verified.origin, &self.logins) {
            // What the certificate was good for is kept with the key.
            (Origin::Certificate, _) => self.certificates.is_some().then(|| Account::certified(user)),
            (origin, Some(logins)) => logins.account(user, origin).await?,
            (_, None) => None,
        };
        let Some(account) = account else { return self.refuse().await };
        let identity = Identity::of(account);
        let identity = verified.scope.map_or(identity.clone(), |scope| identity.within(scope));
        Ok(Login { identity, proof: Proof::Key })
    }

    /// Says whether users may make keys.
    pub const fn has_api_keys(&self) -> bool {
        self.api_keys.is_some()
    }

    /// Tells whose keys somebody may see, make and revoke: his own, if he has proved himself to be who he is. Those
    /// that are made with a certificate end with it.
    ///
    /// *Errors:* [`Refusal::Unauthenticated`] to somebody anonymous; [`Refusal::Denied`] to who came with a key or a
    /// token, which could make itself last for ever.
    pub fn owner(
        &self,
        authorization: Option<&[u8]>,
        certified_until: Option<Timestamp>,
        identity: &Identity,
    ) -> Result<KeyOwner, Refusal> {
        let account = identity.who().ok_or(Refusal::Unauthenticated)?;
        let is_proof = match authorization.map(Authorization::parse) {
            None => true,
            Some(Ok(Authorization::Basic(credentials))) => {
                credentials.is_empty() || self.is_password(&credentials)
            }
            Some(_) => false,
        };
        let origin =
            account.origin().filter(|_| is_proof && identity.scope().is_none()).ok_or(Refusal::Denied)?;
        let until = certified_until.filter(|_| origin == Origin::Certificate);
        Ok(KeyOwner { user: account.name().to_owned(), maker: Some(origin), until })
    }

    /// Lets an administrator see and revoke somebody's keys, of whom nothing need be known: before a name is given to
    /// somebody else, or when a key has been lost.
    ///
    /// *Errors:* as of [`owner`](Self::owner); [`Refusal::Denied`] to whom `adminPolicy` does not let delete.
    pub fn owner_of(&self, user: &str, own: &KeyOwner, identity: &Identity) -> Result<KeyOwner, Refusal> {
        if user == own.user {
            return Ok(own.clone());
        }
        if !self.policy.administers(identity, Action::Delete) {
            return Err(Refusal::Denied);
        }
        Ok(KeyOwner { user: user.to_owned(), maker: None, until: None })
    }

    fn is_password(&self, credentials: &Credentials) -> bool {
        Presented::parse(credentials.password()).is_none() && self.workload(credentials).is_none()
    }

    /// Makes a key.
    ///
    /// *Errors:* [`ApiKeyError`], but for that of a key that there is not; [`ApiKeyError::Others`] for somebody else.
    pub async fn create_key(
        &self,
        owner: KeyOwner,
        wish: ApiKeyWish,
    ) -> Result<(ApiKey, ApiKeySecret), ApiKeyError> {
        let KeyOwner { user, maker: Some(origin), until } = owner else { return Err(ApiKeyError::Others) };
        self.keys()?.create(Maker { user, origin, until }, wish).await
    }

    /// Lists somebody's keys.
    ///
    /// *Errors:* [`ApiKeyError::Keep`].
    pub async fn keys_of(&self, owner: &KeyOwner) -> Result<Vec<ApiKey>, ApiKeyError> {
        Ok(self.keys()?.list(&owner.user).await?)
    }

    /// Revokes a key of somebody's.
    ///
    /// *Errors:* [`ApiKeyError::Unknown`], [`ApiKeyError::Keep`].
    pub async fn revoke_key(&self, owner: &KeyOwner, id: &str) -> Result<(), ApiKeyError> {
        let was_there = self.keys()?.revoke(&owner.user, id).await?;
        if was_there { Ok(()) } else { Err(ApiKeyError::Unknown) }
    }

    fn keys(&self) -> Result<&ApiKeys, ApiKeyError> {
        self.api_keys.as_ref().ok_or(ApiKeyError::Unknown)
    }
}
