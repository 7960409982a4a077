//! The bare hyper forwarder: what any gateway built on hyper pays before it does its own work.

use std::net::SocketAddr;
use std::rc::Rc;

use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONNECTION;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

type Body = BoxBody<Bytes, hyper::Error>;
type Pool = Client<HttpConnector, Incoming>;

async fn forward(
    pool: &Pool,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    request.headers_mut().remove(CONNECTION);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{upstream}{path}").parse::<Uri>().unwrap();
    Ok(pool.request(request).await.map_or_else(
        |_| {
            let body = Empty::new().map_err(|never| match never {}).boxed();
            Response::builder().status(502).body(body).unwrap()
        },
        |answer| answer.map(BodyExt::boxed),
    ))
}

async fn serve(pool: Rc<Pool>, upstream: SocketAddr, stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let service = service_fn(move |request| {
        let pool = Rc::clone(&pool);
        async move { forward(&pool, upstream, request).await }
    });
    drop(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

/// Forwards to the upstream for ever, on one thread.
pub(crate) fn run(upstream: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Rc::new(
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening gateway={} admin=none", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(Rc::clone(&pool), upstream, stream));
        }
    });
}
