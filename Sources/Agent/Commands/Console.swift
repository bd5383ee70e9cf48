import Foundation
import Synchronization

/// Where commands write: results to stdout, everything else to stderr. A progress line on a terminal gives way to
/// what is written and comes back below it.
package final class Console: Sendable {
    /// Whether stdout is a terminal, and so a person reads the result.
    package let isTerminal: Bool
    /// Whether stderr is one.
    package let isErrorTerminal: Bool
    private let write: @Sendable (_ text: String, _ isError: Bool) -> Void
    private let progressLine = Mutex("")

    /// - Parameter write: gets text for stdout, or with `isError` for stderr.
    package init(
        isTerminal: Bool = false, isErrorTerminal: Bool = false,
        write: @escaping @Sendable (_ text: String, _ isError: Bool) -> Void
    ) {
        self.isTerminal = isTerminal
        self.isErrorTerminal = isErrorTerminal
        self.write = write
    }

    /// The process's own.
    package static let standard = Console(
        isTerminal: isatty(STDOUT_FILENO) == 1, isErrorTerminal: isatty(STDERR_FILENO) == 1
    ) { text, isError in
        var text = text
        text.withUTF8 { writeAll($0, to: isError ? STDERR_FILENO : STDOUT_FILENO) }
    }

    /// A result on stdout, a line or more.
    package func result(_ text: String) { emit(text, isError: false) }

    /// News on stderr, a line or more.
    package func note(_ text: String) { emit(text, isError: true) }

    private func emit(_ text: String, isError: Bool) {
        progressLine.withLock { line in
            if !line.isEmpty { write("\r\u{1B}[K", true) }
            write(text.hasSuffix("\n") ? text : text + "\n", isError)
            if !line.isEmpty { write(line, true) }
        }
    }

    /// Shows a progress line on a terminal; empty takes it away. Elsewhere nothing is shown.
    package func progress(_ text: String) {
        guard isErrorTerminal else { return }
        progressLine.withLock { line in
            if line.isEmpty, text.isEmpty { return }
            line = text
            write("\r\u{1B}[K" + text, true)
        }
    }

    package func report(_ failure: CommandFailure) {
        for report in failure.reports {
            note("\(paint("Error:", .red, isError: true)) \(Self.printable(report.message, keepingLines: true))")
            if let remedy = report.remedy {
                note("\(paint("Try:", .bold, isError: true)) \(Self.printable(remedy, keepingLines: true))")
            }
        }
    }

    package enum Paint: String {
        case red = "31"
        case green = "32"
        case yellow = "33"
        case bold = "1"
    }

    /// Colours on a terminal only, and not where NO_COLOR asks for none.
    package func paint(_ text: String, _ paint: Paint, isError: Bool = false) -> String {
        let refusal = ProcessInfo.processInfo.environment["NO_COLOR"] ?? ""
        guard isError ? isErrorTerminal : isTerminal, refusal.isEmpty else { return text }
        return "\u{1B}[\(paint.rawValue)m\(text)\u{1B}[0m"
    }

    /// Control characters as escapes: what comes from a source mustn't steer a terminal.
    package static func printable(_ text: String, keepingLines: Bool = false) -> String {
        guard text.unicodeScalars.contains(where: { isControl($0) }) else { return text }
        var shown = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n" where keepingLines: shown += "\n"
            case "\n": shown += "\\n"
            case "\t": shown += "\\t"
            case "\r": shown += "\\r"
            case _ where isControl(scalar): shown += "\\u{\(String(scalar.value, radix: 16))}"
            default: shown.unicodeScalars.append(scalar)
            }
        }
        return shown
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        // Also the marks that turn the direction of text.
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x202A...0x202E).contains(scalar.value)
            || (0x2066...0x2069).contains(scalar.value)
    }

    private static func writeAll(_ bytes: UnsafeBufferPointer<UInt8>, to file: Int32) {
        var rest = UnsafeRawBufferPointer(bytes)[...]
        while !rest.isEmpty {
            let count = Foundation.write(file, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count < 0 {
                if errno == EINTR { continue }
                // The reader has gone (`| head`): as if the signal had ended us.
                if errno == EPIPE, file == STDOUT_FILENO { _exit(ExitStatus.signal(SIGPIPE)) }
                return
            }
            rest = rest.dropFirst(count)
        }
    }
}
