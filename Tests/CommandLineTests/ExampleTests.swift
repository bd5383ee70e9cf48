import Testing

@testable import millrace

@Suite struct ExampleTests {
    @Test func placeholder() { #expect(Millrace.configuration.commandName == "millrace") }
}
