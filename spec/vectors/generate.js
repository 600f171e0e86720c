// Deliveries made by other people's cryptography: Node's own, and crypto-js, which the service's
// documentation uses. `npm install && npm run generate` writes webhook.json, the same each time. What
// a receiver has to take and what it has to refuse is decided here by a receiver written for this.
"use strict";

const crypto = require("node:crypto");
const CryptoJS = require("crypto-js");

const STATUSES = ["queueing", "processing", "completed", "failed"];
const SENT = "1710757981609";
const ID = "66160f989dfc997ac289037b";
const CLIENT = { client_id: "AKDt8rWEczpYPzCGur2xE", client_secret: "nmwUjMAK0PJpl0MOiXLOOOwZ" };

// Numbers and text that look random -----------------------------------------------------------------

let count = 0;
const noise = (size) => {
  const blocks = [];
  for (let have = 0; have < size; have += 32) {
    blocks.push(crypto.createHash("sha256").update(`akool-lipsync ${count++}`).digest());
  }
  return Buffer.concat(blocks).subarray(0, size);
};
const word = (size) => noise(size).toString("base64url").slice(0, size);
const choose = (list) => list[noise(4).readUInt32BE() % list.length];

// Two libraries -------------------------------------------------------------------------------------

const ivOf = (id) => {
  const iv = Buffer.alloc(16);
  Buffer.from(id).copy(iv);
  return iv;
};

const node = {
  name: "node",
  encrypt(bytes, { client_id, client_secret }) {
    const key = Buffer.from(client_secret);
    const cipher = crypto.createCipheriv(`aes-${key.length * 8}-cbc`, key, ivOf(client_id));
    return cipher.update(bytes, null, "base64") + cipher.final("base64");
  },
  sha1: (text) => crypto.createHash("sha1").update(text).digest("hex"),
};

const cryptoJs = {
  name: "crypto-js",
  encrypt(bytes, { client_id, client_secret }) {
    return CryptoJS.AES.encrypt(CryptoJS.enc.Hex.parse(bytes.toString("hex")),
      CryptoJS.enc.Utf8.parse(client_secret), {
        iv: CryptoJS.enc.Hex.parse(ivOf(client_id).toString("hex")),
        mode: CryptoJS.mode.CBC,
        padding: CryptoJS.pad.Pkcs7,
      }).toString();
  },
  sha1: (text) => CryptoJS.SHA1(text).toString(),
};

const byBytes = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const sign = (sealed, { client_id, timestamp, nonce, cipher = node }) =>
  cipher.sha1([client_id, timestamp, nonce, sealed].sort(byBytes).join(""));

// Encrypt what is padded already.
const encryptBlocks = (bytes, { client_id, client_secret }) => {
  const key = Buffer.from(client_secret);
  const cipher = crypto.createCipheriv(`aes-${key.length * 8}-cbc`, key, ivOf(client_id));
  cipher.setAutoPadding(false);
  return Buffer.concat([cipher.update(bytes), cipher.final()]);
};

// PKCS#7 for blocks of another size.
const pad = (text, block) => {
  const bytes = Buffer.from(text);
  const missing = block - (bytes.length % block);
  return Buffer.concat([bytes, Buffer.alloc(missing, missing)]);
};

// Deliveries ----------------------------------------------------------------------------------------

const inner = (more = {}) => ({ _id: ID, status: 3, type: "lipsync",
  url: "https://d21ksh0k4smeql.cloudfront.net/final.mp4", ...more });

// The body of a delivery. `timestamp` and `nonce` are what is signed; the JSON beside each is what is
// written, by default a number and a string.
const body = (sealed, how) => {
  const { timestamp, nonce, timestampJson = timestamp, nonceJson = JSON.stringify(nonce) } = how;
  const signature = how.signature ?? sign(sealed, how);
  return `{"signature":"${signature}","dataEncrypt":${JSON.stringify(sealed)},` +
    `"timestamp":${timestampJson},"nonce":${nonceJson}}`;
};

const usual = { ...CLIENT, timestamp: SENT, nonce: "1529", cipher: node };
const settings = (more) => ({ ...usual, ...more });

const seal = (text, how) => how.cipher.encrypt(Buffer.from(text), how);

// A receiver ----------------------------------------------------------------------------------------

const must = (holds, what) => {
  if (!holds) throw new Error(what);
};

const unpad = (bytes) => {
  const size = bytes[bytes.length - 1];
  must(size >= 1 && size <= Math.min(32, bytes.length), "padding");
  must(bytes.subarray(bytes.length - size).every((byte) => byte === size), "padding");
  return bytes.subarray(0, bytes.length - size);
};

// What was written as a number, with its digits: JSON.parse would lose them.
const written = (text, name) => {
  const value = JSON.parse(text)[name];
  if (typeof value === "string") return value;
  must(typeof value === "number", name);
  const matches = [...text.matchAll(new RegExp(`"${name}"\\s*:\\s*(-?[0-9][0-9.eE+-]*)`, "g"))];
  return matches[matches.length - 1][1];
};

const open = (text, { client_id, client_secret }) => {
  const { signature, dataEncrypt } = JSON.parse(text);
  const timestamp = written(text, "timestamp"), nonce = written(text, "nonce");
  must(typeof dataEncrypt === "string" && typeof signature === "string", "types");
  must(/^[0-9]{1,16}$/.test(timestamp), "timestamp");
  must(signature === sign(dataEncrypt, { client_id, timestamp, nonce }), "signature");
  const sealed = Buffer.from(dataEncrypt, "base64");
  must(sealed.toString("base64") === dataEncrypt && sealed.length > 0, "base64");
  const key = Buffer.from(client_secret);
  const cipher = crypto.createDecipheriv(`aes-${key.length * 8}-cbc`, key, ivOf(client_id));
  cipher.setAutoPadding(false);
  const plain = unpad(Buffer.concat([cipher.update(sealed), cipher.final()]));
  const data = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plain));
  must(data !== null && typeof data === "object" && !Array.isArray(data), "an object");
  const status = typeof data.status === "string" && /^[1-4]$/.test(data.status)
    ? Number(data.status) : data.status;
  must([1, 2, 3, 4].includes(status), "status");
  must(typeof data._id === "string" && /^[A-Za-z0-9_-]{1,128}$/.test(data._id), "_id");
  const video = status === 3 && /^https?:\/\/[^\s]+$/.test(data.url) ? data.url : undefined;
  return { id: data._id, status: STATUSES[status - 1], video,
    type: typeof data.type === "string" ? data.type : undefined, sent_at: timestamp / 1000, data };
};

// The lists -----------------------------------------------------------------------------------------

const good = [], bad = [];

const pick = ({ client_id, client_secret }) =>
  client_id === CLIENT.client_id && client_secret === CLIENT.client_secret ? {}
    : { client_id, client_secret };

const takes = (name, text, how = usual) =>
  good.push({ name, ...pick(how), body: text, event: open(text, how) });

const refuses = (name, text, how = usual) => {
  let event;
  try {
    event = open(text, how);
  } catch {
    bad.push({ name, ...pick(how), body: text });
  }
  must(event === undefined, `${name} is a good delivery`);
};

const sends = (name, content, how = usual) => {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  takes(name, body(seal(text, how), how), how);
};

// Good: each length of an id, with each of a key, by both libraries.
for (const cipher of [node, cryptoJs]) {
  for (let size = 1; size <= 64; size++) {
    const key = [16, 24, 32][(size + (cipher === node ? 0 : 1)) % 3];
    sends(`${cipher.name}: an id of ${size} bytes, a key of ${key}`,
      inner({ url: `https://example.com/${word(size % 17)}.mp4` }),
      settings({ client_id: word(size), client_secret: word(key), nonce: String(1000 + size),
        timestamp: String(1710757981000 + size * 37), cipher }));
  }
}
for (let size = 0; size < 32; size++) {
  for (const block of [24, 32]) {
    const text = JSON.stringify(inner({ url: `https://example.com/${word(size)}` }));
    const padded = pad(text, block);
    if (padded.length % 16 !== 0) continue;
    takes(`padded for blocks of ${block}, ${padded[padded.length - 1]} bytes`,
      body(encryptBlocks(padded, usual).toString("base64"), usual));
  }
}
for (const cipher of [node, cryptoJs]) {
  for (const [name, how] of [
    ["both numbers", { nonceJson: "1529" }],
    ["both strings", { timestampJson: `"${SENT}"` }],
    ["a string and a number", { timestampJson: `"${SENT}"`, nonceJson: "1529" }],
    ["a whole second", { timestamp: "1710757981000" }],
    ["a timestamp of one digit", { timestamp: "7" }],
    ["a timestamp of zero", { timestamp: "0" }],
    ["a timestamp of 16 digits", { timestamp: "1710757981609123" }],
    ["a timestamp with zeros in front", { timestamp: "0001710757981609",
      timestampJson: '"0001710757981609"' }],
    ["a nonce with zeros in front", { nonce: "0007" }],
    ["an empty nonce", { nonce: "" }],
    ["a nonce that sorts last", { nonce: "~~~~" }],
    ["a nonce that sorts first", { nonce: "!!!!" }],
    ["a nonce like the id", { nonce: CLIENT.client_id }],
    ["a nonce like the timestamp", { nonce: SENT }],
    ["a nonce like the id's beginning", { nonce: CLIENT.client_id.slice(0, 5) }],
    ["a nonce with a fraction, as a number", { nonce: "0.8371530442", nonceJson: "0.8371530442" }],
    ["a negative nonce, as a number", { nonce: "-42", nonceJson: "-42" }],
    ["a nonce of 20 digits, as a number", { nonce: "12345678901234567890",
      nonceJson: "12345678901234567890" }],
    ["a nonce that is large, as a number", { nonce: "1e+21", nonceJson: "1e+21" }],
    ["a nonce with what JSON escapes", { nonce: '"\\/\b\n\u0001\u007f' }],
    ["a nonce with a zero byte", { nonce: "a\u0000b" }],
    ["a nonce that looks like JSON", { nonce: '1,"nonce":"2' }],
    ["a nonce in other letters", { nonce: "größe-口型-😀" }],
    ["a nonce escaped in full", { nonce: "é", nonceJson: '"\\u00e9"' }],
    ["an id and a secret in other letters", { client_id: "口型同步-clé",
      client_secret: "пароль口型secret" }],
    ["an id whose bytes break off in the IV", { client_id: "0123456789abcd口x" }],
  ]) {
    sends(`${cipher.name}: ${name}`, inner(), settings({ ...how, cipher }));
  }
}
for (const [name, more] of [
  ["queueing", { status: 1, url: "" }], ["processing", { status: 2, url: null }],
  ["failed", { status: 4, url: "", error_msg: "no face" }], ["a status as a string", { status: "3" }],
  ["completed without a URL", { url: "" }], ["completed, the URL is null", { url: null }],
  ["completed, the URL is no string", { url: 7 }], ["completed, a URL of files", { url: "file:///x" }],
  ["a URL although it failed", { status: 4 }], ["no type", { type: undefined }],
  ["a type of null", { type: null }], ["another type", { type: "faceswap" }],
  ["a type in other letters", { type: "嘴型 😀" }], ["a URL in other letters",
    { url: "https://example.com/фильм-😀.mp4" }],
  ["more fields", { progress: 100, deduction_credits: 12.5, a: { b: [1, { c: "d" }], e: true } }],
  ["null in many places", { a: null, b: { c: null, d: { e: null, f: 1 } } }],
  ["numbers", { a: 0, b: -1, c: 0.5, d: 9007199254740991, e: 1e300, f: -1e-9 }],
  ["an id with - and _", { _id: "a-b_C" }], ["an id of 128", { _id: "x".repeat(128) }],
  ["a long URL", { url: `https://example.com/${"x".repeat(4000)}` }],
]) {
  sends(`inside: ${name}`, inner(more));
}
sends("inside: blanks", ` {\n\t"_id" : "${ID}" ,\r\n "status":4 } `);
sends("inside: a field twice", `{"_id":"other","status":1,"_id":"${ID}","status":2}`);
sends("inside: everything escaped",
  '{"\\u005fid":"\\u0061bc","status":3,"url":"https:\\/\\/example.com\\/\\ud83d\\ude00"}');
{
  const sealed = seal(JSON.stringify(inner()), usual), signature = sign(sealed, usual);
  const parts = { signature: `"${signature}"`, dataEncrypt: `"${sealed}"`, timestamp: SENT,
    nonce: '"1529"' };
  const join = (names) => `{${names.map((name) => `"${name}":${parts[name]}`).join(",")}}`;
  takes("outside: another order", join(["nonce", "timestamp", "dataEncrypt", "signature"]));
  takes("outside: blanks", join(Object.keys(parts)).replace(/([{},:])/g, "\r\n\t $1 \n"));
  takes("outside: more fields", join(Object.keys(parts)).replace("{",
    '{"a":[1,-2.5e3,{"b":"\\"1\\\\"}],"":null,"n":12345678901234567890,'));
  takes("outside: escaped slashes", join(Object.keys(parts)).replaceAll("/", "\\/"));
  takes("outside: a field twice", join(Object.keys(parts)).replace("{",
    '{"nonce":9,"timestamp":"x","signature":1,"dataEncrypt":null,'));
}

// Bad: the body.
const sealedUsual = seal(JSON.stringify(inner()), usual);
const bodyUsual = body(sealedUsual, usual);
const FIELDS = ["signature", "dataEncrypt", "timestamp", "nonce"];

for (const name of FIELDS) {
  const change = (value) => {
    const fields = JSON.parse(bodyUsual);
    fields[name] = value;
    return JSON.stringify(fields);
  };
  refuses(`without ${name}`, change(undefined));
  for (const value of [null, true, false, [], {}, [1], { a: 1 }]) {
    refuses(`${name} is ${JSON.stringify(value)}`, change(value));
  }
  for (const value of ["", " ", "0", "x", "null", "😀", "\u0000"]) {
    refuses(`${name} is another string: ${JSON.stringify(value)}`, change(value));
  }
  for (const value of [0, 1, -1, 1.5, 1e300]) {
    refuses(`${name} is another number: ${value}`, change(value));
  }
  refuses(`${name} in an array`, change([JSON.parse(bodyUsual)[name]]));
  refuses(`${name} has a blank behind it`, change(`${JSON.parse(bodyUsual)[name]} `));
  refuses(`${name} has a blank before it`, change(` ${JSON.parse(bodyUsual)[name]}`));
  refuses(`${name} has a zero byte behind it`, change(`${JSON.parse(bodyUsual)[name]}\u0000`));
  refuses(`${name} under another name`, bodyUsual.replace(`"${name}"`, `"${name.toUpperCase()}"`));
  refuses(`${name} twice, and the second is wrong`, bodyUsual.replace("}", `,"${name}":null}`));
}
for (let cut = 0; cut < bodyUsual.length; cut += 7) {
  refuses(`the body is cut after ${cut} bytes`, bodyUsual.slice(0, cut));
}
for (const text of [" ", "null", "true", "3", '"x"', "[]", "{}", `[${bodyUsual}]`, "x",
  `${bodyUsual}x`, `x${bodyUsual}`, `${bodyUsual}${bodyUsual}`, `${bodyUsual},`, `${bodyUsual}\u0000`,
  `\ufeff${bodyUsual}`, bodyUsual.replaceAll('"', "'"), bodyUsual.replace("}", ",}"),
  bodyUsual.replace("}", ",1:1}"), bodyUsual.replace("}", ",1}"), bodyUsual.replace(":", "="),
  `/**/${bodyUsual}`, `${bodyUsual}//`, bodyUsual.replace("}", ',"a":NaN}'),
  bodyUsual.replace("}", ',"a":Infinity}'), bodyUsual.replace("}", ',"a":01}'),
  bodyUsual.replace("}", ',"a":1e}'), bodyUsual.replace("}", ',"a":0x1}'),
  bodyUsual.replace(SENT, `0${SENT}`), JSON.stringify(inner()), JSON.stringify(bodyUsual)]) {
  refuses(`the body is no delivery: ${text.slice(0, 12)} … ${text.slice(-12)}`, text);
}
for (const [timestamp, timestampJson] of [["", '""'], ["-1"], ["-1", '"-1"'], [" 1", '" 1"'],
  ["1 ", '"1 "'], ["+1", '"+1"'], ["1.5e12"], ["1.5e12", '"1.5e12"'], ["1710757981609.0"],
  ["1710757981609.5"], ["1.710757981609e12"], ["1710757981609e0"], ["0x10", '"0x10"'],
  ["１", '"１"'], ["17107579816091234"], ["17107579816091234", '"17107579816091234"'],
  ["1\u0000", '"1\\u0000"'], ["1\n", '"1\\n"'], ["true", "true"], ["null", "null"],
  ["1710757981609,", '"1710757981609,"'], ["inf", '"inf"'], ["nan", '"nan"']]) {
  refuses(`signed, but the timestamp is ${timestampJson ?? timestamp}`,
    body(sealedUsual, settings({ timestamp, timestampJson: timestampJson ?? timestamp })));
}

// Bad: the signature.
const signatureUsual = sign(sealedUsual, usual);
const signed = (signature) => body(sealedUsual, settings({ signature }));
for (let i = 0; i < 40; i++) {
  const digit = ((parseInt(signatureUsual[i], 16) + 1) % 16).toString(16);
  refuses(`digit ${i + 1} of the signature is another`,
    signed(signatureUsual.slice(0, i) + digit + signatureUsual.slice(i + 1)));
}
{
  const pieces = [CLIENT.client_id, SENT, "1529", sealedUsual];
  const hash = (text, name = "sha1") => crypto.createHash(name).update(text).digest("hex");
  for (const [name, signature] of [
    ["in capitals", signatureUsual.toUpperCase()], ["without its end", signatureUsual.slice(0, 39)],
    ["without its beginning", signatureUsual.slice(1)], ["with more behind", `${signatureUsual}0`],
    ["twice", signatureUsual.repeat(2)], ["of the unsorted", hash(pieces.join(""))],
    ["sorted the other way", hash([...pieces].sort(byBytes).reverse().join(""))],
    ["joined by blanks", hash([...pieces].sort(byBytes).join(" "))],
    ["of three", hash(pieces.slice(1).sort(byBytes).join(""))],
    ["with the secret", hash([...pieces, CLIENT.client_secret].sort(byBytes).join(""))],
    ["SHA-256, cut", hash([...pieces].sort(byBytes).join(""), "sha256").slice(0, 40)],
    ["MD5", hash([...pieces].sort(byBytes).join(""), "md5")],
    ["of nothing", hash("")], ["zeros", "0".repeat(40)],
  ]) {
    refuses(`a signature: ${name}`, signed(signature));
  }
}
refuses("another nonce", body(sealedUsual, settings({ nonce: "1530", signature: signatureUsual })));
refuses("another timestamp",
  body(sealedUsual, settings({ timestamp: "1710757981610", signature: signatureUsual })));
refuses("the nonce of another form", body(sealedUsual, settings({ nonceJson: '"1529.0"' })));

// Bad: what is sealed.
const cipherUsual = Buffer.from(sealedUsual, "base64");
for (let i = 0; i < cipherUsual.length; i++) {
  const bytes = Buffer.from(cipherUsual);
  bytes[i] ^= 1 << (i % 8);
  const sealed = bytes.toString("base64");
  refuses(`byte ${i} of the sealed text is another`,
    body(sealed, settings({ signature: signatureUsual })));
  refuses(`byte ${i} of the sealed text is another, signed`, body(sealed, usual));
}
const sealedAs = (name, bytes) => refuses(`signed, but ${name}`,
  body(Buffer.from(bytes).toString("base64"), usual));
for (const size of [1, 15, 16, 17, 31, 32, 48, cipherUsual.length - 1]) {
  sealedAs(`sealed text of ${size} bytes`, cipherUsual.subarray(0, size));
  sealedAs(`sealed text without its first ${size} bytes`, cipherUsual.subarray(size));
}
sealedAs("sealed text with a byte behind", Buffer.concat([cipherUsual, Buffer.alloc(1)]));
sealedAs("sealed text with a block behind", Buffer.concat([cipherUsual, Buffer.alloc(16)]));
sealedAs("sealed text twice", Buffer.concat([cipherUsual, cipherUsual]));
sealedAs("two blocks are swapped", Buffer.concat([cipherUsual.subarray(16, 32),
  cipherUsual.subarray(0, 16), cipherUsual.subarray(32)]));
for (let i = 1; i <= 8; i++) sealedAs(`noise of ${i} blocks`, noise(16 * i));
{
  const short = seal('{"_id":"abc","status":4}', usual); // 32 bytes: ends with one "="
  const one = seal("{}             ", usual); //            16 bytes: ends with two
  for (const [name, sealed] of [
    ["a line end", sealedUsual.replace(/^(.{76})/, "$1\n")], ["a line end behind", `${sealedUsual}\n`],
    ["a blank before", ` ${sealedUsual}`], ["a character that is none", `*${sealedUsual.slice(1)}`],
    ["another alphabet", Buffer.from(short, "base64").toString("base64url")],
    ["no padding", short.replace(/=+$/, "")], ["more padding", `${short}=`], ["four more", `${short}====`],
    ["padding inside", `${short.slice(0, 8)}=${short.slice(9)}`],
    ["bits that mean nothing", short.replace(/.=$/, (end) =>
      `${{ A: "B", E: "F", I: "J", M: "N", Q: "R", U: "V", Y: "Z", c: "d", g: "h", k: "l", o: "p",
        s: "t", w: "x", 0: "1", 4: "5", 8: "9" }[end[0]]}=`)],
    ["bits that mean nothing, two", one.replace(/.==$/, (end) =>
      `${{ A: "B", Q: "R", g: "h", w: "x" }[end[0]]}==`)],
    ["hexadecimal", cipherUsual.toString("hex")], ["the text itself", JSON.stringify(inner())],
    ["base64 of the text", Buffer.from(JSON.stringify(inner())).toString("base64")],
    ["base64 twice", Buffer.from(sealedUsual).toString("base64")],
  ]) {
    refuses(`signed, but the base64 has ${name}`, body(sealed, usual));
  }
}

// Bad: the padding, well signed.
const blocksAs = (name, bytes) => refuses(`signed, but ${name}`,
  body(encryptBlocks(bytes, usual).toString("base64"), usual));
for (const block of [16, 32]) {
  const whole = pad(JSON.stringify(inner()).padEnd(128), block);
  for (let i = 1; i <= block; i++) {
    const bytes = Buffer.from(whole);
    bytes[bytes.length - i] ^= 64;
    blocksAs(`byte ${i} from the end of padding for blocks of ${block} is another`, bytes);
  }
}
for (let size = 2; size <= 40; size++) {
  const bytes = Buffer.from(JSON.stringify(inner()).padEnd(128));
  bytes[bytes.length - 1] = size;
  blocksAs(`only the last byte is padding: ${size}`, bytes);
}
for (const size of [33, 48, 64, 128, 255]) {
  blocksAs(`padding of ${size}`, Buffer.concat([
    Buffer.from(JSON.stringify({ _id: ID, status: 4 }).padEnd(304 - size)), Buffer.alloc(size, size)]));
}
{
  const text = JSON.stringify(inner()).padEnd(120);
  blocksAs("padding of zeros", Buffer.concat([Buffer.from(text), Buffer.alloc(8)]));
  blocksAs("padding by ANSI X9.23", Buffer.concat([Buffer.from(text), Buffer.alloc(7),
    Buffer.from([8])]));
  blocksAs("padding by ISO 10126", Buffer.concat([Buffer.from(text), noise(7), Buffer.from([8])]));
  blocksAs("padding by ISO 7816", Buffer.concat([Buffer.from(text), Buffer.from([128]),
    Buffer.alloc(7)]));
  blocksAs("no padding", Buffer.from(text.padEnd(127) + "\n"));
  blocksAs("padding of one too few", Buffer.concat([Buffer.from(text), Buffer.alloc(8, 9)]));
  blocksAs("nothing but padding", Buffer.alloc(16, 16));
  blocksAs("more padding than text", Buffer.alloc(16, 17));
  blocksAs("zeros", Buffer.alloc(16, 0));
}

// Bad: what it says, well sealed.
const says = (name, content) => refuses(`sealed, but ${name}`, body(node.encrypt(
  Buffer.isBuffer(content) ? content : Buffer.from(typeof content === "string" ? content
    : JSON.stringify(content)), usual), usual));
for (const status of [undefined, null, 0, 5, -1, 2.5, 33, 1e300, true, false, "", "0", "5", "03",
  "3.0", " 3", "3 ", "0x3", "3e0", "completed", "３", [], [3], {}]) {
  says(`the status is ${JSON.stringify(status)}`, inner({ status }));
}
for (const _id of [undefined, null, 7, true, "", " ", "a b", "a/b", "../x", "a\n", "a\u0000", "é",
  "x".repeat(129), "%41", [], ["a"], {}]) {
  says(`the id is ${JSON.stringify(_id)?.slice(0, 20)}`, inner({ _id }));
}
for (const text of ["", " ", "null", "true", "3", '"x"', "[]", "{}", "x", "{",
  `[${JSON.stringify(inner())}]`, `${JSON.stringify(inner())}x`, `${JSON.stringify(inner())}\u0000`,
  `${JSON.stringify(inner())}${JSON.stringify(inner())}`, `\ufeff${JSON.stringify(inner())}`,
  `{"_id":"${ID}","status":3,}`, `{"_id":"${ID}","status":NaN}`, `{"_id":"${ID}","status":03}`,
  `{"_id":"${ID}","status":3,"a":"\u0001"}`, `{'_id':'${ID}','status':3}`,
  `{_id:"${ID}",status:3}`, `_id=${ID}&status=3`, "<html></html>", `{"_id":"${ID}"}`, '{"status":3}',
  `{"id":"${ID}","video_status":3}`, JSON.stringify({ data: inner() })]) {
  says(`it says ${JSON.stringify(text).slice(0, 60)}`, text);
}
for (const [name, bytes] of [["a byte that is none", [0xff]], ["a letter cut off", [0xc3]],
  ["a letter too long", [0xc0, 0xaf]], ["half a pair", [0xed, 0xa0, 0x80]],
  ["a letter beyond the last", [0xf4, 0x90, 0x80, 0x80]], ["a byte that goes on nothing", [0x80]]]) {
  says(`the text is not UTF-8: ${name}`, Buffer.concat([Buffer.from(`{"_id":"${ID}","status":3,"a":"`),
    Buffer.from(bytes), Buffer.from('"}')]));
}

// Bad: other credentials.
const other = (name, how) => refuses(`for ${name}`, bodyUsual, settings(how));
other("another id", { client_id: "AKDt8rWEczpYPzCGur2xF" });
other("an id that ends sooner", { client_id: CLIENT.client_id.slice(0, 16) });
other("an id in other case", { client_id: CLIENT.client_id.toLowerCase() });
other("another secret", { client_secret: "nmwUjMAK0PJpl0MOiXLOOOwX" });
other("a secret that ends sooner", { client_secret: CLIENT.client_secret.slice(0, 16) });
other("a longer secret", { client_secret: `${CLIENT.client_secret}12345678` });

// Output --------------------------------------------------------------------------------------------

// Without what a Lua table cannot hold.
const plain = (value) => {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== null)
    .map(([name, each]) => [name, plain(each)]));
};
const lines = (list) => list.map((each) => JSON.stringify(plain(each))).join(",\n");
process.stdout.write(`{"credentials":${JSON.stringify(CLIENT)},\n"good":[\n${lines(good)}],\n"bad":[\n` +
  `${lines(bad)}]}\n`);
process.stderr.write(`${good.length} good, ${bad.length} bad\n`);
