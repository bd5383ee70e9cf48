/// The program's version; the changelog says what is in it.
enum Version {
    static let text = "0.1.0"
}
