import JSON
import PipelineFile
import Replication

/// Something that needs a person, while it lasts.
package struct Alert: Hashable, Sendable {
    /// What it is about: two alerts of one kind and subject are the same episode.
    package struct Key: Hashable, Sendable, Comparable {
        package var kind: Pipeline.AlertKind
        /// `public.orders`, `shop.public.orders:0`, or the pipeline's name.
        package var subject: String

        package static func < (left: Key, right: Key) -> Bool {
            (left.kind.rawValue, left.subject) < (right.kind.rawValue, right.subject)
        }
    }

    package var key: Key
    /// What is so, without cell values or secrets.
    package var message: String
    /// The command that helps.
    var remedy: String?
    /// Whom it is for, where the pipeline file says so.
    var channel: String?
    /// Since when it is so, where that is known; nil: since it was seen.
    var beganAt_us: Int64?
    /// An agent before this one has told it.
    var wasTold = false
}

/// What goes out: that an episode began or ended.
package struct AlertNotice: Sendable, Equatable {
    package enum Change: String, Sendable { case began, ended, test }

    var pipeline: String
    package var change: Change
    package var alert: Alert
    package var beganAt_us: Int64
    package var endedAt_us: Int64?
    /// Notices that weren't sent, as there were too many at once.
    var left = 0

    var json: JSONValue {
        var members: [JSONValue.Member] = [
            ("pipeline", .string(pipeline)), ("kind", .string(alert.key.kind.rawValue)),
            ("subject", .string(alert.key.subject)), ("state", .string(change.rawValue)),
            ("message", .string(alert.message)), ("try", alert.remedy.map { .string($0) } ?? .null),
            ("began_at", Self.moment(beganAt_us)), ("ended_at", endedAt_us.map(Self.moment) ?? .null),
        ]
        if let channel = alert.channel { members.append(("channel", .string(channel))) }
        if left > 0 { members.append(("left_out", .number(String(left)))) }
        return .object(members)
    }

    private static func moment(_ time_us: Int64) -> JSONValue { Moment.text(time_us).map { .string($0) } ?? .null }

    /// One line, for people.
    var text: String {
        let whom = alert.channel.map { "\($0): " } ?? ""
        let subject = whom + (alert.key.subject == pipeline ? pipeline : "\(pipeline), \(alert.key.subject)")
        let more = left > 0 ? " (\(left) other notices weren't sent, as there were too many: millrace status)" : ""
        switch change {
        case .began: return "\(subject): \(alert.message)" + (alert.remedy.map { ". Try: \($0)" } ?? "") + more
        case .ended: return "\(subject): over: \(alert.message)" + more
        case .test: return "\(subject): \(alert.message)"
        }
    }

    /// As Slack and those who speak like it take it; what would be a mention or a link there is none.
    var slackJSON: JSONValue {
        let sign =
            switch change {
            case .began: ":red_circle:"
            case .ended: ":large_green_circle:"
            case .test: ":white_circle:"
            }
        let plain = text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        let channel: [JSONValue.Member] = alert.channel.map { [("channel", .string($0))] } ?? []
        return .object(channel + [("text", .string("\(sign) \(plain)"))])
    }
}
