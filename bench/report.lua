-- report: tables in Markdown, and the bars: what a figure has to reach, and whether it did.

local report = {}

--- What instruction tables say below.
report.TUNED = "The tuned floor also has the library's tricks, which libcurl's manuals do not "
  .. "show: a URL that is parsed once, the agent among the headers, no timeout of libcurl's."

local missed, held = {}, 0

--- Begin a table.
---@param title string
---@param columns string[]
function report.table(title, columns)
  io.write("\n### ", title, "\n\n| ", table.concat(columns, " | "), " |\n|", ("---|"):rep(1),
    ("---:|"):rep(#columns - 1), "\n")
end

--- One row of it. Numbers are strings by now.
function report.row(cells)
  io.write("| ", table.concat(cells, " | "), " |\n")
  io.flush()
end

--- A line of text below a table.
function report.note(text)
  io.write("\n", text, "\n")
end

local function word(value, format)
  return (format or "%.2f"):format(value)
end

--- A figure that has to be at most, or at least, so much. It is shown in bold when it is not.
---@param name string
---@param value number
---@param bar { most: number?, least: number? }
---@param format string?
function report.bar(name, value, bar, format)
  local fine = value == value and (not bar.most or value <= bar.most)
    and (not bar.least or value >= bar.least)
  local shown = word(value, format)
  if fine then
    held = held + 1
    return shown
  end
  missed[#missed + 1] = ("%s: %s, and should be %s %s"):format(name, shown,
    bar.most and "at most" or "at least", word(bar.most or bar.least, format))
  return "**" .. shown .. "**"
end

--- The last word. False when a bar was missed.
function report.verdict()
  io.write("\n")
  for _, line in ipairs(missed) do io.write("- missed: ", line, "\n") end
  if #missed > 0 then
    io.write(("%s%d of %d bars were missed.\n"):format("\n", #missed, #missed + held))
  else
    io.write(held > 0 and ("All %d bars are held.\n"):format(held) or "No bars here.\n")
  end
  return #missed == 0
end

return report
