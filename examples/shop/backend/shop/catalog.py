"""What the shop sells."""

PRODUCTS = [
    {"id": 1, "name": "anvil", "price_cents": 4999},
    {"id": 2, "name": "bellows", "price_cents": 1950},
    {"id": 3, "name": "tongs", "price_cents": 1295},
]


def find(product_id):
    for product in PRODUCTS:
        if product["id"] == product_id:
            return product
    return None
