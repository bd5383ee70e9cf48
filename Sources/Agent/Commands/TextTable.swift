/// Columns of text for people: cells padded, numbers to the right, long cells cut.
struct TextTable {
    var header: [String]
    var rows: [[String]] = []
    /// Indices of the columns that stand to the right.
    var right: Set<Int> = []
    var width_max = 60

    init(_ header: [String], right: Set<Int> = []) {
        self.header = header
        self.right = right
    }

    var text: String {
        let cells = ([header] + rows).map { row in row.map { shown($0) } }
        var widths = [Int](repeating: 0, count: header.count)
        for row in cells {
            for (column, cell) in row.enumerated() where column < widths.count {
                widths[column] = max(widths[column], cell.count)
            }
        }
        func line(_ row: [String]) -> String {
            let padded = row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: max(0, widths[column] - cell.count))
                return right.contains(column) ? space + cell : cell + space
            }
            let line = padded.joined(separator: "  ")
            return String(line.reversed().drop { $0 == " " }.reversed())
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        return ([cells[0], rule] + cells.dropFirst()).map(line).joined(separator: "\n") + "\n"
    }

    private func shown(_ cell: String) -> String {
        let cell = Console.printable(cell)
        return cell.count <= width_max ? cell : String(cell.prefix(width_max - 1)) + "…"
    }
}
