// A certified OpenID provider (the package oidc-provider) as it comes, with its own login and consent pages, and /me.
import { Provider } from "oidc-provider";
import http from "node:http";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "shop",
      client_secret: process.env.SECRET,
      redirect_uris: [`${issuer}/callback`],
      grant_types: ["authorization_code", "refresh_token"],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  scopes: ["openid", "offline_access"],
  cookies: { keys: [process.env.SECRET] },
  pkce: { required: () => true },
  ttl: { AccessToken: 600, RefreshToken: 3600, Interaction: 600, Session: 600, Grant: 600, IdToken: 600 },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
const answer = provider.callback();
http
  .createServer(async (request, response) => {
    console.log(request.method, request.url, JSON.stringify(request.headers));
    if (request.url === "/ready") return response.end("{}");
    if (request.url === "/me") {
      const token = (request.headers.authorization ?? "").replace("Bearer ", "");
      const found = token && (await provider.AccessToken.find(token));
      response.statusCode = found && !found.isExpired ? 200 : 401;
      return response.end(JSON.stringify({ heard: request.headers }));
    }
    const send = response.end.bind(response);
    response.end = (body, ...rest) => {
      console.log(response.statusCode, JSON.stringify(response.getHeaders()), String(body ?? ""));
      return send(body, ...rest);
    };
    return answer(request, response);
  })
  .listen(port, "127.0.0.1");
