// The device grant, a refresh and a revocation by oauth4webapi, which knows the RFCs and nothing of Tanjiren.
// Usage: node device-grant.mjs ISSUER. Prints the page to approve, then waits; ends with "done", or with what was wrong.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import * as oauth from 'oauth4webapi'

const issuer = new URL(process.argv[2])
const http = { [oauth.allowInsecureRequests]: true } // loopback
const client = { client_id: 'tanvrit-compute' }
const none = oauth.None()

const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...http }))
const asked = await oauth.processDeviceAuthorizationResponse(server, client,
  await oauth.deviceAuthorizationRequest(server, client, none, new URLSearchParams({ scope: 'api' }), http))
console.log(asked.verification_uri_complete)

const first = await poll()
await me(first.access_token, 200)

const second = await refresh(first.refresh_token)
assert.notEqual(second.refresh_token, first.refresh_token)
await me(second.access_token, 200)

await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, none, second.refresh_token, http))
await me(second.access_token, 401)
await assert.rejects(refresh(second.refresh_token), { error: 'invalid_grant' })
await oauth.processRevocationResponse(await oauth.revocationRequest(server, client, none, 'unknown', http))
console.log('done')

async function poll() {
  for (let interval = asked.interval ?? 5; ;) {
    await sleep(interval * 1000)
    try {
      return await oauth.processDeviceCodeResponse(server, client, await oauth.deviceCodeGrantRequest(server, client, none, asked.device_code, http))
    } catch (e) {
      if (!(e instanceof oauth.ResponseBodyError) || !['authorization_pending', 'slow_down'].includes(e.error)) throw e
      if (e.error === 'slow_down') interval += 5
      console.log(e.error)
    }
  }
}

async function refresh(token) {
  return await oauth.processRefreshTokenResponse(server, client, await oauth.refreshTokenGrantRequest(server, client, none, token, http))
}

async function me(token, status) {
  let got
  try {
    got = (await oauth.protectedResourceRequest(token, 'GET', new URL('/api/auth/me', issuer), undefined, undefined, http)).status
  } catch (e) {
    if (!(e instanceof oauth.WWWAuthenticateChallengeError)) throw e
    assert.equal(e.cause[0].scheme, 'bearer')
    assert.equal(e.cause[0].parameters.error, 'invalid_token')
    got = e.status
  }
  assert.equal(got, status)
}
