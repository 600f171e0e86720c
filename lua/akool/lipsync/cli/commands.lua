-- commands: what the program can be asked for. One table, of which the parser, `--help`, the manual and
-- docs/cli.md are made.

local settings = require "akool.lipsync.cli.settings"

local LEDGER = { name = "ledger", argname = "LEDGER",
  description = "The ledger: the name of an SQLite file, or postgresql://USER@HOST/DB; '-': the "
    .. "one that AKOOL_LEDGER names." }
local KEYS = { name = "keys", argname = "KEY", args = "+", description = "Keys of rows." }
local VIDEO = { name = "video_url", argname = "VIDEO_URL",
  description = "Of the video: http(s), and open to anybody." }
local AUDIO = { name = "audio_url", argname = "AUDIO_URL", description = "Of the voice." }
local WEBHOOK = { name = "--webhook-url", target = "webhook_url", argname = "URL",
  description = "The service calls this when the job is over." }
local OVERWRITE = { name = "--overwrite", flag = true,
  description = "The file may be there already." }

---@class akool.lipsync.cli.Declared
---@field name string
---@field description string
---@field flag boolean?           # an option without a value
---@field argname string?         # how help calls the value
---@field args string|integer?    # how many values, as argparse has it
---@field target string?          # the name of the field in the arguments
---@field choices string[]?

---@class akool.lipsync.cli.Command
---@field name string
---@field description string
---@field detail string?          # further paragraphs, for the manual
---@field arguments akool.lipsync.cli.Declared[]?
---@field options akool.lipsync.cli.Declared[]?
---@field room string?            # the module in this folder that does it
---@field verb string?            # its function there; by default the name
---@field commands akool.lipsync.cli.Command[]?
---@field raw boolean?            # what follows is not for this parser

local commands = {}

commands.description = "Give it the URL of a video and of a voice, get back a video whose lips "
  .. "match. A client for Akool's LipSync service."

--- Options of every command, in groups.
commands.groups = {
  { name = "Output", options = {
    { name = "--json", flag = true, mode = true,
      description = "Standard output is one JSON document, also when it fails." },
    { name = "--events", flag = true, mode = true,
      description = "Standard output is JSON lines, as things happen; the last is the result." },
    { name = "-q --quiet", flag = true, description = "No progress and no notes, only errors." },
  } },
  { name = "Credentials", options = {
    { name = "--key-file", target = "key_file", argname = "FILE",
      description = "A file with the API key, or with lines AKOOL_...=VALUE; nobody else may be "
        .. "able to read it. '-': standard input." },
  } },
  { name = "Service", options = settings.declare() },
}

---@type akool.lipsync.cli.Command[]
commands.list = {
  { name = "generate", room = "jobs",
    description = "Make a job, follow it, and download its result.",
    detail = "The file is tried before anything is paid. After Ctrl-C the job goes on at the "
      .. "service; its id, and the command that continues, are printed.",
    arguments = { VIDEO, AUDIO },
    options = {
      { name = "-o --output", argname = "FILE",
        description = "The file to make; by default VIDEO-AUDIO.mp4, as the URLs are called." },
      OVERWRITE, WEBHOOK,
    } },
  { name = "create", room = "jobs", description = "Make a job, and print its id.",
    arguments = { VIDEO, AUDIO }, options = { WEBHOOK } },
  { name = "info", room = "jobs", description = "Ask how far jobs are.",
    detail = "Prints the id, the status, and the address of the result once there is one.",
    arguments = { { name = "ids", argname = "ID", args = "+", description = "Ids of jobs." } } },
  { name = "wait", room = "jobs", description = "Follow jobs until they are over.",
    arguments = { { name = "ids", argname = "ID", args = "+", description = "Ids of jobs." } } },
  { name = "download", room = "jobs", description = "Download the result of a job.",
    detail = "It is whole and on disk, or not there. It goes on "
      .. "where an earlier one stopped.",
    arguments = { { name = "id", argname = "ID", description = "Id of a job." },
      { name = "file", argname = "FILE", description = "The file to make." } },
    options = { { name = "-w --wait", flag = true, description = "Follow the job first." },
      OVERWRITE } },
  { name = "batch", description = "Many jobs, which a ledger remembers.",
    detail = "A ledger survives crashes and can be shared by many machines. What is in it is "
      .. "made once: a batch can be run again at any time, and does what is left.",
    commands = {
      { name = "add", room = "batch", description = "Put the lines of a table into a ledger.",
        detail = "CSV has a heading with the names key, video_url, audio_url, output, "
          .. "webhook_url in any order; other columns can be used in --output. Without a heading "
          .. "its columns are key, video_url, audio_url, output, webhook_url, or the same "
          .. "without key if the first field is a URL; video_url is left out with --video. A "
          .. "JSON line is an object with these names. A row without a key is called after the "
          .. "file names in its URLs: VIDEO-AUDIO, or AUDIO with --video. All lines are looked "
          .. "at first, and nothing is added unless all are good; a row that is in the ledger "
          .. "already changes nothing.",
        arguments = { LEDGER, { name = "file", argname = "FILE",
          description = "A .csv or .jsonl file; '-': standard input." } },
        options = {
          { name = "--format", choices = { "csv", "jsonl" },
            description = "What it is; by default what its name or its first character says." },
          { name = "--video", argname = "URL",
            description = "The video of every row: rows are voices." },
          { name = "--output", argname = "PATTERN",
            description = "Names for the files, such as '{key}.mp4': {key}, {n} (the number of "
              .. "the row) and the names of columns stand for their values." },
          { name = "--force", flag = true,
            description = "Make, and pay, what the ledger knows to have been made before." },
        } },
      { name = "run", room = "run", description = "Do what is left.",
        detail = "Ends with 0 when all is done; 5 when the outcome of some is unknown; 3 when "
          .. "some failed, or the service refused to go on; 6 or 7 when the network, or this "
          .. "machine, stood in the way; 4 when work is left for any other reason; 130 after a "
          .. "signal. The jobs at the service go on then, and the next run picks them up.",
        arguments = { LEDGER },
        options = {
          { name = "--output-dir", target = "output_dir", argname = "DIR",
            description = "Where files go whose names do not say (.)." },
          { name = "--concurrency", argname = "N",
            description = "Jobs at the service at once; plans allow 2 to 4 (3)." },
        } },
      { name = "status", room = "batch",
        description = "Count the rows, and name those that need you.",
        arguments = { LEDGER } },
      { name = "retry", room = "batch", description = "Plan rows again that failed or expired.",
        detail = "They are paid again.",
        arguments = { LEDGER, { name = "keys", argname = "KEY", args = "*",
          description = "Keys of rows." } },
        options = { { name = "--all", flag = true,
          description = "All that failed or expired." } } },
      { name = "resubmit", room = "batch",
        description = "Plan rows again whose outcome is unknown.",
        detail = "Whoever says this accepts that a job may be paid twice.",
        arguments = { LEDGER, KEYS } },
      { name = "adopt", room = "batch", description = "Say which job a row has.",
        detail = "For a row that is planned, unknown, failed or expired. Nothing is paid.",
        arguments = { LEDGER, { name = "key", argname = "KEY", description = "Key of a row." },
          { name = "id", argname = "JOB_ID", description = "Id of a job." } } },
      { name = "cancel", room = "batch", description = "Take back rows that are only planned.",
        detail = "A job at the service cannot be cancelled.",
        arguments = { LEDGER, KEYS } },
      { name = "export", room = "batch", description = "Print all rows.",
        arguments = { LEDGER },
        options = { { name = "--format", choices = { "csv", "jsonl" },
          description = "csv, with a heading, or jsonl, with everything that is known (csv)." } } },
    } },
  { name = "webhook", description = "What the service calls back with.",
    detail = "Deliveries are opened with AKOOL_CLIENT_ID and AKOOL_CLIENT_SECRET, even where "
      .. "calls use an API key.",
    commands = {
      { name = "open", room = "webhook", description = "Open a delivery, and print what it says.",
        arguments = { { name = "file", argname = "FILE", args = "?",
          description = "The body of the request; '-': standard input, which is the default." } },
        options = { { name = "--tolerance", argname = "SECONDS",
          description = "How old it may be (300); 0: of any age." } } },
      { name = "listen", room = "webhook", description = "Print deliveries as they come.",
        detail = "A web server with TLS belongs in front of it. The service is asked about each "
          .. "job before it is printed, because a delivery proves little.",
        options = {
          { name = "--host", argname = "ADDRESS", description = "Where to listen (127.0.0.1)." },
          { name = "--port", argname = "N",
            description = "0: any that is free, which is told (0)." },
          { name = "--path", argname = "PATH", description = "Of the URL (/)." },
          { name = "--count", argname = "N", description = "End after so many." },
          { name = "--ledger", argname = "LEDGER",
            description = "Write what the service says of these jobs into this ledger, too." },
          { name = "--trust", flag = true,
            description = "Print what deliveries say, and ask nobody." },
        } },
    } },
  { name = "mock", room = "other", raw = true,
    description = "Run a service on this machine that costs nothing, for tests and first steps.",
    detail = "What follows are its own options: akool-lipsync mock --help.",
    arguments = { { name = "arguments", argname = "OPTION", args = "*",
      description = "Options of the mock service." } } },
  { name = "credits", room = "jobs", description = "Print the balance of the account." },
  { name = "explain", room = "other", description = "Say what an error means, and what to do.",
    arguments = { { name = "code", argname = "CODE",
      description = "One of Akool's codes, such as 1204, or the name of an error." } } },
  { name = "doctor", room = "doctor",
    description = "Look at what is installed, the connection, the clock, the key and the credits.",
    detail = "Costs no credits. Ends with the status of what is wrong.",
    options = { { name = "--ledger", argname = "LEDGER",
      description = "Look at this ledger, too." } } },
  { name = "completion", room = "other",
    description = "Print a script with completions for a shell.",
    arguments = { { name = "shell", argname = "SHELL", choices = { "bash", "zsh", "fish" },
      description = "bash, zsh or fish." } } },
}

--- Variables of the environment.
commands.environment = {
  { "AKOOL_API_KEY", "The API key." },
  { "AKOOL_TOKEN", "A bearer token, in its place." },
  { "AKOOL_CLIENT_ID, AKOOL_CLIENT_SECRET",
    "A pair for which a token is fetched, in its place; and what webhooks are opened with." },
  { "AKOOL_BASE_URL", "The service, if it is another one; a mock, for example." },
  { "AKOOL_LEDGER", "The ledger that '-' stands for." },
  { "AKOOL_LOG",
    "'debug': every request and answer is printed to standard error, without secrets." },
  { "NO_COLOR", "No colours. TERM=dumb: no progress that moves, either." },
}

return commands
