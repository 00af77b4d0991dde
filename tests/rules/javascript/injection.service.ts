import { Request, Response } from "express";
import Koa from "koa";

export async function handler(req: Request, res: Response): Promise<void> {
  const id: string = req.params.id as string;
  // ruleid: vallum.javascript.sql-injection
  await this.pool.query(`SELECT * FROM t WHERE id = ${id}`);
  // ok: vallum.javascript.sql-injection
  await this.pool.query("SELECT * FROM t WHERE id = $1", [id]);
}

export async function koa(ctx: Koa.Context) {
  // ruleid: vallum.javascript.ssrf
  const r = await fetch(ctx.query.url as string);
  // ok: vallum.javascript.ssrf
  const s = await fetch(BASE + "/items");
  ctx.body = [r, s];
}
