// Settings from the environment, or from a file named by NAME_FILE (a mounted secret).
import { readFileSync } from "node:fs";

export function setting(name, fallback) {
  const file = process.env[`${name}_FILE`];
  const value = file ? readFileSync(file, "utf8").trim() : process.env[name] || fallback;
  if (!value) {
    console.error(`set ${name} or ${name}_FILE`);
    process.exit(1);
  }
  return value;
}
