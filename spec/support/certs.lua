--- Makes the certificates of the specs with the openssl command: two CAs, and servers whose
--- certificate is good, expired, not valid yet, for another host, from the CA that nobody trusts, or
--- from themselves.

local shell = require "support.shell"

local certs = {}

local CONFIG = [[
[ CA ]
dir = DIR
database = $dir/CA.index
certificate = $dir/CA.pem
private_key = $dir/CA.key
new_certs_dir = $dir
default_md = sha256
policy = names
rand_serial = yes
copy_extensions = copy
[ names ]
commonName = supplied
]]

local HERE = "IP:127.0.0.1,DNS:localhost"
local YESTERYEAR = "-startdate 20200101000000Z -enddate 20200201000000Z"
local TOMORROW = "-startdate 20900101000000Z -enddate 20910101000000Z"
local TODAY = "-days 30"

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
end

local function openssl(dir, arguments)
  shell.must_run("cd '%s' && openssl %s", dir, arguments)
end

local function authority(dir, name)
  write(("%s/%s.index"):format(dir, name), "")
  write(("%s/%s.cnf"):format(dir, name), (CONFIG:gsub("%u+", { CA = name, DIR = dir })))
  openssl(dir, ("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
    .. "-subj '/CN=%s test CA' -keyout %s.key -out %s.pem"):format(name, name, name))
end

local function server(dir, name, ca, alt_names, valid)
  openssl(dir, ("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
    .. "-addext subjectAltName=%s -keyout %s.key -out %s.csr"):format(name, alt_names, name, name))
  openssl(dir, ("ca -batch -notext -config %s.cnf -name %s %s -in %s.csr -out %s.pem")
    :format(ca, ca, valid, name, name))
  return { cert = ("%s/%s.pem"):format(dir, name), key = ("%s/%s.key"):format(dir, name) }
end

local function self_signed(dir, name)
  openssl(dir, ("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
    .. "-subj /CN=%s -addext subjectAltName=%s -keyout %s.key -out %s.pem"):format(name, HERE, name,
    name))
  return { cert = ("%s/%s.pem"):format(dir, name), key = ("%s/%s.key"):format(dir, name) }
end

--- Makes them all in `dir`, an existing folder given by its absolute path.
---@param dir string
---@return { ca_file: string, [string]: { cert: string, key: string } }
function certs.make(dir)
  authority(dir, "trusted")
  authority(dir, "untrusted")
  return {
    ca_file = dir .. "/trusted.pem",
    good = server(dir, "good", "trusted", HERE, TODAY),
    expired = server(dir, "expired", "trusted", HERE, YESTERYEAR),
    not_yet = server(dir, "not_yet", "trusted", HERE, TOMORROW),
    wrong_host = server(dir, "wrong_host", "trusted", "DNS:other.example", TODAY),
    unknown = server(dir, "unknown", "untrusted", HERE, TODAY),
    self_signed = self_signed(dir, "self_signed"),
  }
end

return certs
