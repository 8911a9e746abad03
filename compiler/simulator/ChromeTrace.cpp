#include "compiler/simulator/ChromeTrace.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sdopt {
namespace {

/// JSON string; bytes outside printable ASCII are escaped one by one.
std::string quoted(const std::string &text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte > 126)
      absl::StrAppendFormat(&out, "\\u%04x", byte);
    else if (c == '"' || c == '\\')
      out.append({'\\', c});
    else
      out.push_back(c);
  }
  return out + "\"";
}

} // namespace

std::string writeChromeTrace(const Program &program, const std::vector<std::string> &layerNames,
                             const std::vector<TraceEvent> &events) {
  std::string out = "{\"traceEvents\":[\n";
  for (int q = 0; q < kQueues; ++q)
    absl::StrAppend(&out, "{\"ph\":\"M\",\"pid\":0,\"tid\":", q,
                    ",\"name\":\"thread_name\",\"args\":{\"name\":",
                    quoted(name(static_cast<Queue>(q))), "}},\n");
  for (const TraceEvent &event : events) {
    const Command &command = program.commands[event.command];
    const auto layer = static_cast<size_t>(command.layer);
    absl::StrAppend(&out, "{\"ph\":\"X\",\"pid\":0,\"tid\":", static_cast<int>(command.queue),
                    ",\"ts\":", event.begin, ",\"dur\":", event.end - event.begin,
                    ",\"name\":", quoted(mnemonic(command)),
                    ",\"args\":{\"command\":", event.command, ",\"layer\":", command.layer,
                    ",\"value\":", quoted(layer < layerNames.size() ? layerNames[layer] : ""),
                    "}},\n");
  }
  return out +
         "{\"ph\":\"M\",\"pid\":0,\"name\":\"process_name\",\"args\":{\"name\":\"npu\"}}\n]}\n";
}

} // namespace sdopt
