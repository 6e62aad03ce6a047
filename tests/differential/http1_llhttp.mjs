// SPDX-License-Identifier: Apache-2.0
// Every message that our codec accepts must be accepted, with the same content, by Node's parser (llhttp) in its
// strict mode: what we forward, a strict server reads as we did.
//
//     node http1_llhttp.mjs PATH-OF-http1_accepted
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { HTTPParser } = createRequire(import.meta.url)('_http_common');
const vectors = execFileSync(process.argv[2], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

// What llhttp makes of the first message: { error, headDone, content, complete }.
function parse({ kind, head_reply, bytes }) {
    const parser = new HTTPParser();
    const seen = { headDone: false, complete: false };
    const parts = [];
    parser.initialize(kind === 'reply' ? HTTPParser.RESPONSE : HTTPParser.REQUEST, {}, 0, 0);
    parser[HTTPParser.kOnHeadersComplete] = () => {
        seen.headDone = true;
        return head_reply ? 1 : 0;
    };
    parser[HTTPParser.kOnBody] = (b, start = 0, len = b.length) => {
        if (!seen.complete) parts.push(Buffer.from(b.subarray(start, start + len)));
    };
    parser[HTTPParser.kOnMessageComplete] = () => {
        seen.complete = true;
    };
    const result = parser.execute(Buffer.from(bytes, 'hex'));
    seen.error = result instanceof Error && !seen.complete ? result.code : null;
    seen.content = Buffer.concat(parts).toString('hex');
    return seen;
}

let failed = 0;
let compared = 0;
for (const vector of vectors) {
    const seen = parse(vector);
    // llhttp knows a closed list of methods; any other token is fine for a proxy (RFC 9110 9.1).
    if (seen.error === 'HPE_INVALID_METHOD') continue;
    compared++;
    const tunnel = vector.name === '101' || vector.name === 'Upgrade'; // llhttp stops after such a head
    const same =
        seen.error === null &&
        seen.headDone &&
        (tunnel || (seen.content === vector.content && seen.complete === vector.complete));
    if (!same) {
        failed++;
        console.log(`${vector.kind} '${vector.name}': we accept it, llhttp says ${JSON.stringify(seen)}`);
    }
}
console.log(`${compared} of ${vectors.length} accepted messages compared with llhttp ${process.versions.llhttp}, ${failed} differ`);
process.exit(failed || compared < 50 ? 1 : 0);
