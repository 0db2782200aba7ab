// A certified OpenID provider (npm: oidc-provider) on 127.0.0.1, with a sign-in page of our own that asks for nobody's password.
// node oidc_provider.mjs FOLDER_OF_NODE_MODULES PORT. Clients register themselves. Whoever signs in types who it is, as a query:
// sub=…&email=…&verified=true|false|"true"&name=…; only an e-mail is short for sub and a verified e-mail. "cancel" is a refusal.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [, , modules, port] = process.argv;
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const issuer = `http://127.0.0.1:${port}`;
const people = new Map();

function personOf(typed) {
  if (!typed.includes('=')) return { sub: typed, email: typed, email_verified: true, name: typed.split('@')[0] };
  const said = Object.fromEntries(new URLSearchParams(typed));
  const verified = { true: true, false: false, '"true"': 'true' }[said.verified ?? 'true'];
  return { sub: said.sub ?? said.email, email: said.email, email_verified: verified, name: said.name };
}

const keys = [
  ['rsa', { modulusLength: 2048 }, 'RS256'], ['rsa', { modulusLength: 2048 }, 'PS256'], ['ec', { namedCurve: 'P-256' }, 'ES256'], ['ed25519', {}, 'EdDSA'],
].map(
  ([type, options, alg]) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, kid: alg, use: 'sig' }),
);

const provider = new Provider(issuer, {
  jwks: { keys },
  cookies: { keys: ['of the tests'] },
  features: { devInteractions: { enabled: false }, registration: { enabled: true } },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  pkce: { required: () => true },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  async findAccount(_ctx, id) {
    return people.has(id) ? { accountId: id, claims: async () => people.get(id) } : undefined;
  },
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid email profile');
    await grant.save();
    return grant;
  },
});

const page = `<!doctype html><html lang="en"><title>Identity provider</title><link rel="icon" href="data:,"><h1>Identity provider</h1>
<form method="post"><label>Who are you? <input name="who" autofocus></label> <button>Continue</button></form>`;

async function interact(request, response) {
  if (request.method === 'GET') {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(page);
    return;
  }
  let body = '';
  for await (const piece of request) body += piece;
  const typed = new URLSearchParams(body).get('who');
  if (typed === 'cancel') {
    await provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'cancelled' });
    return;
  }
  const person = personOf(typed);
  people.set(person.sub, person);
  await provider.interactionFinished(request, response, { login: { accountId: person.sub, remember: false } });
}

const callback = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return callback(request, response);
  return interact(request, response).catch((error) => response.writeHead(400).end(String(error)));
}).listen(Number(port), '127.0.0.1');
