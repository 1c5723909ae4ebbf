// A proxy between an agent and its server that changes the answers to claims:  node rewriting-proxy.mjs PORT TARGET FILE
// FILE holds what it does now: nothing, command, environment, lease, stripped, none. Everything else passes as it is.
import { readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';

const [port, target, file] = process.argv.slice(2);
const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
const changes = {
  command: answer => ({ ...answer, command: { shell: `${answer.command.shell}; echo and more` } }),
  environment: answer => ({ ...answer, environment: { ...answer.environment, LD_PRELOAD: '/tmp/more.so' } }),
  lease: answer => ({ ...answer, leaseTtlMs: answer.leaseTtlMs * 10 }),
  stripped: ({ assignment, ...answer }) => answer,
  none: answer => ({ ...answer, assignment: `${part({ typ: 'tanjiren-assignment+jwt', alg: 'none', kid: 'x' })}.${answer.assignment.split('.')[1]}.` }),
};

createServer((incoming, outgoing) => {
  // The Host that the agent named: its proof is over the URL that it sees.
  const forwarded = request(target + incoming.url, { method: incoming.method, headers: incoming.headers }, response => {
    const change = incoming.url.includes('/claim?') && response.statusCode === 200 && changes[readFileSync(file, 'utf8').trim()];
    if (!change) {
      outgoing.writeHead(response.statusCode, response.headers);
      response.pipe(outgoing);
      return;
    }
    const chunks = [];
    response.on('data', chunk => chunks.push(chunk));
    response.on('end', () => {
      const body = Buffer.from(JSON.stringify(change(JSON.parse(Buffer.concat(chunks)))));
      const { 'transfer-encoding': _, ...headers } = response.headers;
      outgoing.writeHead(200, { ...headers, 'content-length': body.length });
      outgoing.end(body);
    });
  });
  forwarded.on('error', () => outgoing.destroy());
  outgoing.on('close', () => forwarded.destroy());
  incoming.pipe(forwarded);
}).listen(Number(port), '127.0.0.1');
