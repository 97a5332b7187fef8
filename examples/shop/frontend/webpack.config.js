const CopyPlugin = require("copy-webpack-plugin");

module.exports = {
  entry: "./src/app.js",
  output: { path: "/compiled_static/static", filename: "app.js" },
  plugins: [new CopyPlugin({ patterns: ["src/index.html"] })],
};
