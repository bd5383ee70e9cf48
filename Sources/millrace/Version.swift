import Agent

enum Version {
    static let text = ProgramVersion.text
}
