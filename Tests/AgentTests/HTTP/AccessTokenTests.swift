import Foundation
import PipelineFile
import Replication
import Testing

@testable import Agent

@Suite("The API's token")
struct AccessTokenTests {
    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
    }

    @Test("is made with 256 random bits, for its owner only, and stays")
    func made() throws {
        try withTemporaryFolder { folder in
            let dir = folder + "/agent/.millrace"
            let token = try AccessToken.make(configured: nil, dir: dir)
            #expect(try mode(dir) == 0o700)
            #expect(try mode(AccessToken.path(in: dir)) == 0o600)
            #expect(token.secret.value.utf8.count == 64)
            let again = try AccessToken.make(configured: nil, dir: dir)
            #expect(again.matches(token.secret.value))
            #expect(try FileManager.default.contentsOfDirectory(atPath: dir) == ["token"])
            let other = try AccessToken.make(configured: nil, dir: folder + "/other")
            #expect(!other.matches(token.secret.value))
        }
    }

    @Test("that others may read is refused")
    func open() throws {
        try withTemporaryFolder { dir in
            _ = try AccessToken.make(configured: nil, dir: dir)
            chmod(AccessToken.path(in: dir), 0o644)
            #expect(throws: ReplicationError.self) { try AccessToken.existing(configured: nil, dir: dir) }
        }
    }

    @Test("that is configured wins; an empty one is refused")
    func configured() throws {
        try withTemporaryFolder { dir in
            let token = try AccessToken.make(configured: Secret("from the file"), dir: dir)
            #expect(token.matches("from the file"))
            #expect(!FileManager.default.fileExists(atPath: AccessToken.path(in: dir)))
            #expect(throws: ReplicationError.self) { try AccessToken.make(configured: Secret(""), dir: dir) }
        }
    }

    @Test("matches itself only", arguments: ["", "secre", "secret ", "secreT", "secretsecret"])
    func compares(_ candidate: String) {
        let token = AccessToken(Secret("secret"))
        #expect(token.matches("secret"))
        #expect(!token.matches(candidate))
    }

    @Test("A link in the token's place is refused")
    func link() throws {
        try withTemporaryFolder { dir in
            try "0123456789012345678901234567".write(toFile: dir + "/elsewhere", atomically: true, encoding: .utf8)
            chmod(dir + "/elsewhere", 0o600)
            try FileManager.default.createSymbolicLink(atPath: dir + "/token", withDestinationPath: dir + "/elsewhere")
            #expect(throws: ReplicationError.self) { try AccessToken.existing(configured: nil, dir: dir) }
        }
    }
}
