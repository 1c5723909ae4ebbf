using System.Diagnostics;

namespace Tanjiren.EndToEnd.Tests.Faults.Kit;

/// <summary>What this test program does when it is started as the victim of a machine's fault.</summary>
internal static class VictimProgram
{
    public const string Word = "victim-of-a-fault";

    public static int Run(string[] role) => role switch
    {
        ["clock"] => TellTime(),
        ["write", var directory] => WriteAndWait(directory),
        _ => throw new ArgumentException($"no role '{string.Join(' ', role)}'", nameof(role)),
    };

    /// <summary>For each line of input, the wall's and the stopwatch's milliseconds, from one and the same process.</summary>
    private static int TellTime()
    {
        var watch = Stopwatch.StartNew();
        while (Console.ReadLine() is not null)
            Console.WriteLine($"{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()} {watch.ElapsedMilliseconds}");
        return 0;
    }

    /// <summary>Writes files in every state of durability, says so, and waits to be killed.</summary>
    private static int WriteAndWait(string directory)
    {
        Write("durable", "durable", synced: true);
        using (var more = new FileStream(Path.Combine(directory, "durable"), FileMode.Append))
            more.Write(" and not"u8);
        Write("renamed.new", "renamed", synced: true);
        File.Move(Path.Combine(directory, "renamed.new"), Path.Combine(directory, "renamed"));
        Write("never", "never", synced: false);
        Console.ReadLine();
        Console.WriteLine("0 0");
        Console.ReadLine();
        return 0;

        void Write(string name, string text, bool synced)
        {
            using var file = new FileStream(Path.Combine(directory, name), FileMode.Create);
            file.Write(System.Text.Encoding.ASCII.GetBytes(text));
            file.Flush(flushToDisk: synced);
        }
    }
}
