import JSON
import Testing

@Suite struct ReferenceTests {
    @Test func thePageIsWhatTheProgramSays() async throws {
        let script = Program.root.appending(path: "scripts/cli-reference").path
        let result = try await Program.run([script, "--check"], environment: ["MILLRACE_BINARY": Program.path])
        #expect(result.status == 0, "\(result.errors)")
    }

    /// For whoever has nothing but the program.
    @Test func theSchemaOfPipelineFilesIsInTheProgram() async throws {
        let result = try await Program.millrace(["check", "--schema"])
        #expect(result.status == 0 && result.errors == "")
        let schema = try JSONValue(parsing: result.output)
        #expect(schema["properties"]?["pipeline"] != nil && schema["title"]?.string == "Millrace pipeline file")
    }
}
