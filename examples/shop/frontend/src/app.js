import { price } from "./price.js";

export const title = "The blacksmith's shop";

async function show() {
  document.getElementById("title").textContent = title;
  const products = await (await fetch("/api/products")).json();
  for (const product of products) {
    const item = document.createElement("li");
    item.textContent = `${product.name}: ${price(product.price_cents)}`;
    document.getElementById("products").append(item);
  }
}

show();
