// Runs before `npm start` and `npm test`, in plain JavaScript, so that an older Node can say what is missing instead of
// failing on the first TypeScript file. npm puts node_modules/.bin first on the PATH, where `node` is the bundled one.
const needed = 24;
if (Number(process.versions.node.split(".")[0]) < needed) {
  console.error(
    `Headgate needs Node ${needed} or later; this is ${process.version} on ${process.platform}-${process.arch}.\n` +
      `On Linux x64 and arm64 \`npm ci\` installs it (an optional dependency: run it without --omit=optional).\n` +
      `Elsewhere install Node ${needed} or later and run the command again.`,
  );
  process.exit(1);
}
