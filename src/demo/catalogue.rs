//! What the demo shop sells.

/// One product.
pub struct Product {
    /// Identifier in events, and path below `/products/`.
    pub id: &'static str,
    /// Name.
    pub name: &'static str,
    /// Category in events.
    pub category: &'static str,
    /// Price in euros.
    pub price: u32,
    /// One sentence on the product's card.
    pub line: &'static str,
    /// A paragraph on the product's page.
    pub about: &'static str,
    /// Drawing: the inside of an SVG of 200 by 160.
    pub drawing: &'static str,
    /// Background of the drawing.
    pub tint: &'static str,
}

/// Everything there is, in the order of the shop window.
pub const PRODUCTS: [Product; 6] = [
    Product {
        id: "mug",
        name: "Morning mug",
        category: "Kitchen",
        price: 18,
        line: "Holds exactly one good start.",
        about: "Thrown by hand in stoneware with a wide foot, so it stays where you put it. The glaze is the blue of \
                the hour before everyone else is up.",
        drawing: include_str!("../../static/demo/mug.svg"),
        tint: "#e3ecf7",
    },
    Product {
        id: "lamp",
        name: "Reading lamp",
        category: "Living",
        price: 64,
        line: "Light for the page, not for the room.",
        about: "A folded steel shade on a single curved arm. Warm light, a switch you can find in the dark, and a \
                cable long enough for the far side of the bed.",
        drawing: include_str!("../../static/demo/lamp.svg"),
        tint: "#fbeedb",
    },
    Product {
        id: "plant",
        name: "Patient plant",
        category: "Living",
        price: 29,
        line: "Forgives a fortnight without water.",
        about: "A rubber fig in a terracotta pot. It has outlived two offices and one houseplant enthusiast. Turn it \
                towards the window now and then and it will ask for nothing else.",
        drawing: include_str!("../../static/demo/plant.svg"),
        tint: "#e2f2e6",
    },
    Product {
        id: "notebook",
        name: "Plain notebook",
        category: "Desk",
        price: 12,
        line: "No lines, no dots, no opinions.",
        about: "192 pages of paper that takes ink well, sewn so that it lies flat from the first day. The cover gets \
                better with use.",
        drawing: include_str!("../../static/demo/notebook.svg"),
        tint: "#f6e3e3",
    },
    Product {
        id: "clock",
        name: "Quiet clock",
        category: "Living",
        price: 48,
        line: "Keeps time without mentioning it.",
        about: "A sweeping movement without a tick, behind a face with nothing to read but the time. Runs for two \
                years on one battery.",
        drawing: include_str!("../../static/demo/clock.svg"),
        tint: "#ece7f6",
    },
    Product {
        id: "bag",
        name: "Errand bag",
        category: "Outdoors",
        price: 36,
        line: "Folds small, carries a Saturday.",
        about: "Waxed cotton with a flat base and two handles long enough for the shoulder. Carries bread, books and \
                a bunch of flowers, in that order.",
        drawing: include_str!("../../static/demo/bag.svg"),
        tint: "#e0f1f2",
    },
];
