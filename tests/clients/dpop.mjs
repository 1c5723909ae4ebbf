// A workstation whose proofs are made by the public dpop package: pairs, fetches a token, opens a session, sends a heartbeat.
// Usage: node dpop.mjs SERVER PAIRING_CODE INSTANCE_ID. Ends with "done", or with what was wrong.
import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { generateKeyPair, generateProof } from 'dpop'

const [server, code, instance] = process.argv.slice(2)
const keys = await generateKeyPair('ES256')
const session = 'ses_' + 'abcdefghjkmnpqrstvwxyz0123'
let nonce, token

const paired = await send('POST', '/api/device-trust/pair', { code, hostName: 'node' })
assert.equal(paired.body.instanceId, instance)
const issued = await send('POST', `/api/device-trust/token?instance=${instance}`)
token = issued.body.accessToken

const opened = await send('POST', `/api/instances/${instance}/sessions`, { sessionId: session, machineId: randomUUID(), bootId: randomUUID(), hostName: 'node' })
assert.equal(opened.body.sessionId, session)
const beat = await send('POST', `/api/instances/${instance}/heartbeat?session=${session}`, { maxConcurrent: 1 })
assert.deepEqual(beat.body.pendingTasks, [])

// Without our one claim beside the RFC's, the digest of the body, the proof is refused by RFC 9449's name.
const bare = await exchange('POST', `/api/instances/${instance}/heartbeat?session=${session}`, { maxConcurrent: 1 }, {})
assert.equal(bare.status, 401)
assert.match(bare.challenge, /error="invalid_dpop_proof"/)
console.log('done')

async function send(method, path, body) {
  const bytes = body === undefined ? '' : JSON.stringify(body)
  const bsh = createHash('sha256').update(bytes).digest('base64url')
  let answer = await exchange(method, path, body, { bsh })
  if (answer.body?.code === 'use_dpop_nonce') answer = await exchange(method, path, body, { bsh })
  assert.ok(answer.status < 300, `${method} ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  return answer
}

async function exchange(method, path, body, claims) {
  const url = server + path
  const headers = { DPoP: await generateProof(keys, url, method, nonce, token, claims) }
  if (token) headers.Authorization = `DPoP ${token}`
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  const response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
  nonce = response.headers.get('dpop-nonce') ?? nonce
  const text = await response.text()
  return { status: response.status, body: text ? JSON.parse(text) : undefined, challenge: response.headers.get('www-authenticate') }
}
