//! The requests of a check: with its login, within a deadline, recorded.

use std::time::Duration;

use tokio::time::timeout;

use super::{Context, lock};
use crate::check::Stop;
use crate::wire::{Connection, Exchange, Request, Response, Url, WireError, exchange_http2};

/// Redirects that [`Context::follow`] goes along with.
const REDIRECTS_MAX: usize = 5;
/// How long an answer to `Expect: 100-continue` may take: nobody transfers anything meanwhile.
const EXPECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long nothing may come before a server is taken to have no more to say.
const SILENCE: Duration = Duration::from_millis(500);
/// How many times longer a request with gigabytes may take.
const BULK_FACTOR: u32 = 60;

impl Context {
    /// Builds a request to a path of the target.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.request_to(method, self.target.at(path))
    }

    /// Builds a request to an address; the login goes only to the target itself.
    pub fn request_to(&self, method: &str, url: Url) -> Request {
        Request::new(method, url)
    }

    /// Sends a request; whatever keeps the response away is a failure of the target.
    ///
    /// *Errors*: [`Stop::Fail`]; [`Stop::Error`] when there is no connection at all.
    pub async fn send(&self, request: Request) -> Result<Response, Stop> {
        let label = request.label();
        self.attempt(request).await.map_err(|error| stop(&label, &error))
    }

    /// Sends a request whose response may legally stay away.
    ///
    /// *Errors*: every variant of [`WireError`].
    pub async fn attempt(&self, request: Request) -> Result<Response, WireError> {
        let first = self.once(&self.with_login(request.clone()).await).await?;
        match self.relogin(&request, &first).await {
            Some(request) => self.once(&request).await,
            None => Ok(first),
        }
    }

    /// Sends a request exactly as it is, once.
    async fn once(&self, request: &Request) -> Result<Response, WireError> {
        let result = self
            .within(self.shared.request_deadline, async {
                let mut connection = Connection::open(&self.shared.dialer, &request.url).await?;
                connection.exchange(request).await
            })
            .await;
        self.recorded(request, result)
    }

    /// Adds the login's Authorization, after a visit to the realm where the target wants tokens.
    pub async fn with_login(&self, request: Request) -> Request {
        if !self.is_ours(&request) {
            return request;
        }
        if let Some(ask) = self.login.wants_token(&request)
            && let Ok(answer) = self.once(&ask).await
        {
            self.login.keep_token(&request, &answer);
        }
        match self.login.authorization(&request) {
            Some(value) => request.header("Authorization", value),
            None => request,
        }
    }

    /// Returns the request with a new token, when the target's refusal says where to get one.
    async fn relogin(&self, request: &Request, refusal: &Response) -> Option<Request> {
        let ask = self.login.wants_other_token(request, refusal).filter(|_| self.is_ours(request))?;
        let answer = self.once(&ask).await.ok()?;
        if !self.login.keep_token(request, &answer) {
            return None;
        }
        let value = self.login.authorization(request)?;
        Some(request.clone().header("Authorization", value))
    }

    /// Says whether the login belongs to this request: to the target, and no check's own Authorization.
    fn is_ours(&self, request: &Request) -> bool {
        let own = request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        request.url.same_origin(&self.target) && !own
    }

    /// Sends the head of a request with `Expect: 100-continue` and its body when asked for it.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn send_expecting(&self, request: Request) -> Result<Response, Stop> {
        let request = self.with_login(request).await;
        let work = async {
            let mut connection = Connection::open(&self.shared.dialer, &request.url).await?;
            connection.exchange_expecting(&request).await
        };
        let result = self.within(EXPECT_DEADLINE, work).await;
        self.recorded(&request, result).map_err(|error| stop(&request.label(), &error))
    }

    /// Sends several requests over one connection.
    ///
    /// *Errors*: as [`Context::send`], at the first request without a response.
    pub async fn send_on_one(&self, requests: Vec<Request>) -> Result<Vec<Response>, Stop> {
        let mut responses = Vec::with_capacity(requests.len());
        let mut connection = self.open().await?;
        for request in requests {
            let request = self.with_login(request).await;
            let result = self.within(self.shared.request_deadline, connection.exchange(&request)).await;
            let label = request.label();
            responses.push(self.recorded(&request, result).map_err(|error| stop(&label, &error))?);
        }
        Ok(responses)
    }

    /// Sends a request over HTTP/2.
    ///
    /// *Errors*: every variant of [`WireError`].
    pub async fn attempt_http2(&self, request: Request) -> Result<Response, WireError> {
        let request = self.with_login(request).await;
        let work = exchange_http2(&self.shared.dialer, &request);
        let result = self.within(self.shared.request_deadline, work).await;
        self.recorded(&request, result)
    }

    /// Sends a request with gigabytes.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn send_bulk(&self, request: Request) -> Result<Response, Stop> {
        let request = self.with_login(request).await;
        let work = async {
            let mut connection = Connection::open(&self.shared.dialer, &request.url).await?;
            connection.exchange(&request).await
        };
        let result = self.within(self.shared.request_deadline * BULK_FACTOR, work).await;
        self.recorded(&request, result).map_err(|error| stop(&request.label(), &error))
    }

    /// Sends a request for gigabytes and returns the head of the response, its size and its digest.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn send_hashed(&self, request: Request) -> Result<(Response, u64, String), Stop> {
        let request = self.with_login(request).await;
        let work = async {
            let mut connection = Connection::open(&self.shared.dialer, &request.url).await?;
            connection.exchange_hashed(&request).await
        };
        let result = self.within(self.shared.request_deadline * BULK_FACTOR, work).await;
        let (head, size, digest) = result.map_err(|error| stop(&request.label(), &error))?;
        Ok((self.recorded(&request, Ok(head)).map_err(|error| stop(&request.label(), &error))?, size, digest))
    }

    /// Sends raw bytes, which need not be HTTP.
    ///
    /// *Errors*: every variant of [`WireError`].
    pub async fn send_raw(&self, bytes: &[u8], label: &str) -> Result<Response, WireError> {
        let result = self
            .within(self.shared.request_deadline, async {
                let mut connection = Connection::open(&self.shared.dialer, &self.target).await?;
                connection.exchange_bytes(bytes, "GET", label).await
            })
            .await;
        lock(&self.own.record).push(Exchange::raw(bytes, &result));
        result
    }

    /// Sends raw bytes that may be one request or several, and returns every answer that comes: up to the end of
    /// the connection, or until there is silence after one.
    ///
    /// *Errors*: every variant of [`WireError`], of the first answer.
    pub async fn send_raw_all(&self, bytes: &[u8], label: &str) -> Result<Vec<Response>, WireError> {
        let mut connection = Connection::open(&self.shared.dialer, &self.target).await?;
        let exchange = connection.exchange_bytes(bytes, "GET", label);
        let first = self.within(self.shared.request_deadline, exchange).await;
        lock(&self.own.record).push(Exchange::raw(bytes, &first));
        let mut answers = vec![first?];
        while let Ok(next) = self.within(SILENCE, connection.next_answer("GET", label)).await {
            answers.push(next);
        }
        Ok(answers)
    }

    /// Opens a connection to the target.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn open(&self) -> Result<Connection, Stop> {
        let opening = Connection::open(&self.shared.dialer, &self.target);
        let opened = self.within(self.shared.request_deadline, opening).await;
        opened.map_err(|error| Stop::Error(error.to_string()))
    }

    /// Sends a request and follows redirects, without credentials to another host.
    ///
    /// *Errors*: as [`Context::send`]; [`Stop::Error`] for a redirect that cannot be followed.
    pub async fn follow(&self, request: Request) -> Result<Response, Stop> {
        let mut request = request;
        for _ in 0..REDIRECTS_MAX {
            let response = self.send(request.clone()).await?;
            let Some(location) = response.header("location").filter(|_| response.is_redirect()) else {
                return Ok(response);
            };
            let url = request
                .url
                .join(location)
                .map_err(|error| Stop::Error(format!("{}: redirect to {error}", request.label())))?;
            self.observe(format!("{} is answered by a redirect ({})", request.method, response.status));
            let keeps = url.same_origin(&request.url);
            let headers = request.headers.into_iter();
            let headers = headers.filter(|(name, _)| keeps || !name.eq_ignore_ascii_case("authorization"));
            request = Request { url, headers: headers.collect(), ..request };
        }
        Err(Stop::Fail(format!("{}: more than {REDIRECTS_MAX} redirects", request.label())))
    }

    async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, WireError>>,
    ) -> Result<T, WireError> {
        timeout(limit, work).await.unwrap_or(Err(WireError::Timeout(limit)))
    }

    fn recorded(
        &self,
        request: &Request,
        result: Result<Response, WireError>,
    ) -> Result<Response, WireError> {
        let mut record = lock(&self.own.record);
        record.push(Exchange::new(request, &result));
        if let Ok(response) = &result {
            record.note_left(&self.target, request, response);
        }
        result
    }
}

fn stop(label: &str, error: &WireError) -> Stop {
    match error {
        WireError::Connect { .. } | WireError::Tls { .. } => Stop::Error(format!("{label}: {error}")),
        _ => Stop::Fail(format!("{label}: {error}")),
    }
}
