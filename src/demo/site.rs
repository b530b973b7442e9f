//! Serves the demo shop on a free port of this machine. The edge in front of it serves the tracker.

use std::{collections::HashMap, convert::Infallible, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, runtime::Handle};

use super::catalogue::{PRODUCTS, Product};

const LAYOUT: &str = include_str!("../../static/demo/layout.html");
const HOME: &str = include_str!("../../static/demo/home.html");
const PRODUCT: &str = include_str!("../../static/demo/product.html");
const CARD: &str = include_str!("../../static/demo/card.html");
const CART: &str = include_str!("../../static/demo/cart.html");
const THANKS: &str = include_str!("../../static/demo/thanks.html");
const MISSING: &str = include_str!("../../static/demo/missing.html");
const CSS: &str = include_str!("../../static/demo/shop.css");
const SHOP_JS: &str = include_str!("../../static/demo/shop.js");
const WIRE_JS: &str = include_str!("../../static/demo/wire.js");

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Begins to serve the shop, as long as the runtime lives. Returns its address.
pub fn start(runtime: &Handle) -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let _entered = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    runtime.spawn(serve(listener, Arc::new(Site::new())));
    Ok(address)
}

async fn serve(listener: TcpListener, site: Arc<Site>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: the next one may find some.
                tracing::warn!(%error, "the demo site cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let site = site.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| {
                let response = site.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await {
                tracing::debug!(%error, "a connection to the demo site ended early");
            }
        });
    }
}

struct Page {
    kind: &'static str,
    body: Bytes,
}

/// All pages, made once.
struct Site {
    pages: HashMap<String, Page>,
    missing: Bytes,
}

impl Site {
    fn new() -> Site {
        let html = |title: &str, main: &str| Page {
            kind: "text/html; charset=utf-8",
            body: fill(LAYOUT, &[("title", title), ("main", main)]).into(),
        };
        let mut pages = HashMap::from([
            ("/".to_owned(), html("Things for a good day", &home())),
            ("/cart".to_owned(), html("Cart", CART)),
            ("/thanks".to_owned(), html("Thank you", THANKS)),
            ("/shop.css".to_owned(), Page { kind: "text/css; charset=utf-8", body: CSS.into() }),
            ("/shop.js".to_owned(), Page { kind: SCRIPT, body: SHOP_JS.into() }),
            ("/wire.js".to_owned(), Page { kind: SCRIPT, body: WIRE_JS.into() }),
        ]);
        for (index, product) in PRODUCTS.iter().enumerate() {
            let others = PRODUCTS.iter().cycle().skip(index + 1).take(3);
            let main = fill(&describe(PRODUCT, product), &[("cards", &cards(others))]);
            pages.insert(format!("/products/{}", product.id), html(product.name, &main));
        }
        Site { pages, missing: html("Nothing here", MISSING).body }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let (status, kind, body) = match self.pages.get(path) {
            _ if method != Method::GET && method != Method::HEAD => {
                (StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", Bytes::from("only GET and HEAD\n"))
            }
            Some(page) => (StatusCode::OK, page.kind, page.body.clone()),
            None => (StatusCode::NOT_FOUND, "text/html; charset=utf-8", self.missing.clone()),
        };
        let response = Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, kind)
            .header(header::CACHE_CONTROL, "no-cache")
            .body(Full::new(body));
        response.expect("constant headers are valid")
    }
}

fn home() -> String {
    // Three things side by side, the one in the middle nearest.
    let showcase: String = [(0, -30, 30), (2, 190, 30), (1, 105, 20)]
        .map(|(index, x, y)| format!("<g transform=\"translate({x} {y})\">{}</g>", PRODUCTS[index].drawing))
        .concat();
    fill(HOME, &[("cards", &cards(PRODUCTS.iter())), ("showcase", &showcase)])
}

fn cards<'a>(products: impl Iterator<Item = &'a Product>) -> String {
    products.map(|product| describe(CARD, product)).collect()
}

/// Fills a template with what is known about a product. The catalogue's texts are ours and need no escaping.
fn describe(template: &str, product: &Product) -> String {
    let price = product.price.to_string();
    let item = json!({
        "item_id": product.id,
        "item_name": product.name,
        "item_category": product.category,
        "price": product.price,
    });
    let known = [
        ("id", product.id),
        ("name", product.name),
        ("category", product.category),
        ("price", price.as_str()),
        ("line", product.line),
        ("about", product.about),
        ("drawing", product.drawing),
        ("tint", product.tint),
        ("item", &item.to_string()),
    ];
    fill(template, &known)
}

fn fill(template: &str, known: &[(&str, &str)]) -> String {
    known.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn every_page_is_complete_and_carries_the_tracker() {
        let site = Site::new();
        for (path, page) in &site.pages {
            let text = std::str::from_utf8(&page.body).unwrap();
            assert!(!text.contains("{{"), "{path} has an unfilled place");
            if page.kind.starts_with("text/html") {
                assert!(text.contains(r#"<script async src="/static/v6.js" data-stream="1"></script>"#), "{path}");
            }
        }
    }

    #[test]
    fn every_link_leads_somewhere() {
        let site = Site::new();
        for (path, page) in &site.pages {
            let text = std::str::from_utf8(&page.body).unwrap();
            for link in text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let known = link.starts_with(['#']) || link.starts_with("data:") || site.pages.contains_key(link);
                assert!(known, "{path} leads to {link}");
            }
        }
    }

    #[test]
    fn it_answers_on_a_port_of_its_own() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = start(runtime.handle()).unwrap();
        for (request, status) in
            [("GET /", 200), ("GET /products/mug", 200), ("GET /shop.js", 200), ("GET /gone", 404), ("POST /", 405)]
        {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            write!(stream, "{request} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        }
    }
}
