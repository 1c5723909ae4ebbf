// One request of a workstation, by the key and the session that lie in an agent's home (RFC 9449; docs/concepts/device-trust.md): what somebody would send who
// has the machine's key and not our agent.  node device.mjs HOME METHOD PATH [BODY]
// {session}, {instance} and {claim} in path and body are filled in. Prints "STATUS CODE: DETAIL", or "STATUS" and the body when it was granted.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [home, method, path, body = ''] = process.argv.slice(2);
const key = createPrivateKey(readFileSync(process.env.DEVICE_KEY || `${home}/key.pem`));
const { serverUrl, instanceId } = JSON.parse(readFileSync(`${home}/identity.json`));
const { sessionId } = JSON.parse(readFileSync(`${home}/status.json`));
const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
const digest = bytes => createHash('sha256').update(bytes).digest('base64url');
const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
const newId = prefix => prefix + [...randomBytes(26)].map((byte, i) => '0123456789abcdefghjkmnpqrstvwxyz'[byte & (i ? 31 : 7)]).join('');
const filled = text => text.replaceAll('{session}', sessionId).replaceAll('{instance}', instanceId).replaceAll('{claim}', newId('clm_'));

let nonce;
async function send(method, pathAndQuery, body, token) {
  for (let attempt = 0; ; attempt++) {
    const url = serverUrl + pathAndQuery;
    const claims = { jti: randomBytes(16).toString('base64url'), htm: method, htu: url, iat: Math.floor(Date.now() / 1000), ath: token && digest(token), nonce, bsh: digest(body) };
    const input = `${part({ typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } })}.${part(claims)}`;
    const proof = `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
    const headers = { DPoP: proof, ...(token && { Authorization: `DPoP ${token}` }), ...(body && { 'Content-Type': 'application/json' }) };
    const response = await fetch(url, { method, headers, body: method === 'GET' ? undefined : body, signal: AbortSignal.timeout(30000) });
    nonce = response.headers.get('DPoP-Nonce') ?? nonce;
    const text = await response.text();
    const answer = text && text.startsWith('{') ? JSON.parse(text) : text;
    if (attempt > 0 || answer.code !== 'use_dpop_nonce') return { status: response.status, answer };
  }
}

function tell({ status, answer }) {
  console.log(status < 300 ? `${status} ${JSON.stringify(answer)}` : `${status} ${answer.code}: ${answer.detail ?? answer.title}`);
}

const granted = await send('POST', `/api/device-trust/token?instance=${instanceId}`, '');
tell(granted.status === 200 ? await send(method, filled(path), filled(body), granted.answer.accessToken) : granted);
