/// The program's version; the changelog says what is in it.
package enum ProgramVersion {
    package static let text = "0.1.0"
}
