/// A connection URL or conninfo string with its passwords replaced by `***`. Errs on the side of
/// hiding more, also for strings that libpq would refuse.
package func redacted(_ url: String) -> String {
    if let scheme = url.firstRange(of: "://") {
        return redactedQuery(redactedUserInfo(url, after: scheme.upperBound))
    }
    return redactedKeywords(url)
}

private let secretKeywords = ["password", "sslpassword", "oauth_client_secret"]

/// From the first colon behind the scheme to the last at sign: a password that should have been
/// percent-encoded may hold `@`, `/` and `?`.
private func redactedUserInfo(_ url: String, after start: String.Index) -> String {
    guard let at = url[start...].lastIndex(of: "@"), let colon = url[start..<at].firstIndex(of: ":") else {
        return url
    }
    return url[...colon] + "***" + url[at...]
}

private func redactedQuery(_ url: String) -> String {
    guard let question = url.firstIndex(of: "?") else { return url }
    let parameters = url[url.index(after: question)...].split(separator: "&", omittingEmptySubsequences: false)
    let shown = parameters.map { parameter -> String in
        let keyword = parameter.prefix { $0 != "=" }
        // A percent-encoded keyword is unusual enough to hide.
        let isSecret = secretKeywords.contains(keyword.lowercased()) || keyword.contains("%")
        return isSecret ? "\(keyword)=***" : String(parameter)
    }
    return url[...question] + shown.joined(separator: "&")
}

/// `host=db user=me password='it\'s'`: blanks may stand around `=`, a value may be in single quotes.
private func redactedKeywords(_ conninfo: String) -> String {
    var shown = ""
    var rest = Substring(conninfo)
    while !rest.isEmpty {
        let keyword = rest.prefix { $0 != "=" }
        shown += keyword
        rest = rest[keyword.endIndex...]
        guard !rest.isEmpty else { break }
        shown += "="
        rest = rest.dropFirst()
        let blanks = rest.prefix(while: \.isWhitespace)
        rest = rest[blanks.endIndex...]
        let value = keywordValue(rest)
        rest = rest[value.endIndex...]
        let name = keyword.split(whereSeparator: \.isWhitespace).last.map { $0.lowercased() } ?? ""
        shown += secretKeywords.contains(name) ? "***" : blanks + value
    }
    return shown
}

/// The value at the start of `text`, with its quotes and escapes.
private func keywordValue(_ text: Substring) -> Substring {
    let isQuoted = text.first == "'"
    var index = isQuoted ? text.index(after: text.startIndex) : text.startIndex
    while index < text.endIndex {
        let character = text[index]
        if character == "\\" {
            index = text.index(after: index)
            guard index < text.endIndex else { break }
        } else if isQuoted, character == "'" {
            return text[...index]
        } else if !isQuoted, character.isWhitespace {
            break
        }
        index = text.index(after: index)
    }
    return text[..<index]
}
