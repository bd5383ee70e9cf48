import Foundation
import Testing

@testable import Agent

/// What is edited is kept, and nothing outside of the folder is touched.
@Suite struct DBTFolderTests {
    private func write(_ files: [DBTFile], in folder: String, isForced: Bool = false) throws -> [DBTFolder.Outcome] {
        try DBTFolder(folder, isForced: isForced).write(files) { $0.hasPrefix("stg_") && $0.hasSuffix(".sql") }
    }

    private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    private func edit(_ path: String, _ change: (String) -> String) throws {
        try change(text(path)).write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test func editsAreKept() throws {
        try withTemporaryFolder { folder in
            let folder = folder + "/models/staging"
            let first = DBTFile(name: "stg_a.sql", body: "select 1\n")
            let second = DBTFile(name: "stg_a.sql", body: "select 2\n")
            let path = folder + "/stg_a.sql"
            #expect(try write([first], in: folder) == [.init(name: "stg_a.sql", state: .written)])
            #expect(try text(path) == first.text && first.text.hasSuffix("\nselect 1\n"))
            #expect(try write([first], in: folder) == [.init(name: "stg_a.sql", state: .unchanged)])
            #expect(try write([second], in: folder) == [.init(name: "stg_a.sql", state: .updated)])
            #expect(try text(path) == second.text)

            try edit(path) { $0 + "-- mine\n" }
            let mine = try text(path)
            // There is nothing new for who edits it.
            #expect(try write([second], in: folder) == [.init(name: "stg_a.sql", state: .kept)])
            #expect(try text(path) == mine && !FileManager.default.fileExists(atPath: path + ".new"))
            #expect(
                try write([first], in: folder) == [.init(name: "stg_a.sql", state: .kept, new: "stg_a.sql.new")])
            #expect(try text(path) == mine)
            #expect(try text(path + ".new") == first.text)
            // With the first line of what is new it is known that it was looked at.
            try edit(path) { _ in first.text.split(separator: "\n")[0] + "\nselect 1, 'mine'\n" }
            #expect(try write([first], in: folder) == [.init(name: "stg_a.sql", state: .kept)])
            #expect(!FileManager.default.fileExists(atPath: path + ".new"))

            #expect(try write([second], in: folder, isForced: true) == [.init(name: "stg_a.sql", state: .updated)])
            #expect(try text(path) == second.text)
        }
    }

    @Test func lineEndsAreNoEdit() throws {
        try withTemporaryFolder { folder in
            let file = DBTFile(name: "sources.yml", body: "version: 2\nsources: []\n")
            _ = try write([file], in: folder)
            try edit(folder + "/sources.yml") { $0.replacingOccurrences(of: "\n", with: "\r\n") }
            #expect(!DBTFile.Found(try text(folder + "/sources.yml")).isEdited)
            let next = DBTFile(name: "sources.yml", body: "version: 2\n")
            #expect(try write([next], in: folder) == [.init(name: "sources.yml", state: .updated)])
        }
    }

    @Test(arguments: ["", "select 1\n", "-- millrace dbt\n", "-- millrace dbt 0123456789abcdef: x\nselect 1\n"])
    func whatIsntOursIsKept(_ theirs: String) throws {
        try withTemporaryFolder { folder in
            let path = folder + "/stg_a.sql"
            try theirs.write(toFile: path, atomically: true, encoding: .utf8)
            let file = DBTFile(name: "stg_a.sql", body: "select 2\n")
            #expect(try write([file], in: folder) == [.init(name: "stg_a.sql", state: .kept, new: "stg_a.sql.new")])
            #expect(try text(path) == theirs)
            // Nor is the file beside it ours any more when that was edited.
            try "mine".write(toFile: path + ".new", atomically: true, encoding: .utf8)
            _ = try write([file], in: folder)
            #expect(try text(path + ".new") == "mine")
        }
    }

    @Test func modelsOfOtherTablesAreToldAndKept() throws {
        try withTemporaryFolder { folder in
            let gone = DBTFile(name: "stg_gone.sql", body: "select 1\n")
            _ = try write([gone], in: folder)
            try "select 1".write(toFile: folder + "/stg_theirs.sql", atomically: true, encoding: .utf8)
            let file = DBTFile(name: "stg_a.sql", body: "select 2\n")
            #expect(
                try write([file], in: folder)
                    == [.init(name: "stg_a.sql", state: .written), .init(name: "stg_gone.sql", state: .stale)])
            #expect(try text(folder + "/stg_gone.sql") == gone.text)
        }
    }

    @Test(arguments: ["stg_a.sql", "stg_a.sql.new"]) func linksAreNotFollowed(_ name: String) throws {
        try withTemporaryFolder { folder in
            let outside = folder + "/outside"
            try "theirs".write(toFile: outside, atomically: true, encoding: .utf8)
            let inside = folder + "/models"
            try FileManager.default.createDirectory(atPath: inside, withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(atPath: inside + "/" + name, withDestinationPath: outside)
            let file = DBTFile(name: "stg_a.sql", body: "select 2\n")
            let failure = #expect(throws: CommandFailure.self) {
                try write([DBTFile(name: "sources.yml", body: "version: 2\n"), file], in: inside, isForced: true)
            }
            #expect(failure?.exit == 3 && failure?.message.hasSuffix("\(name) is a link") == true)
            #expect(try text(outside) == "theirs")
            #expect(!FileManager.default.fileExists(atPath: inside + "/sources.yml"), "nothing is written by halves")
            try FileManager.default.removeItem(atPath: inside + "/" + name)
            try FileManager.default.createDirectory(atPath: inside + "/" + name, withIntermediateDirectories: true)
            #expect(throws: CommandFailure.self) { try write([file], in: inside) }
        }
    }

    /// A run that dies leaves a whole file or none.
    @Test func draftsAreTakenAway() throws {
        try withTemporaryFolder { folder in
            _ = try write([DBTFile(name: "stg_a.sql", body: "x\n")], in: folder)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["stg_a.sql"])
        }
    }
}
