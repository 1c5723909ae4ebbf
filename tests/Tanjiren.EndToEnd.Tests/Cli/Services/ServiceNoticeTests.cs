using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;
using Tanjiren.Agent;
using Tanjiren.Cli.Hosting;
using Tanjiren.EndToEnd.Tests.Faults;
using Tanjiren.Tests;

namespace Tanjiren.EndToEnd.Tests.Cli.Services;

/// <summary>What an agent tells systemd, over a real datagram socket that the test holds in systemd's place.</summary>
public sealed partial class ServiceNoticeTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Each_word_is_a_datagram_also_to_an_abstract_name(bool isAbstract)
    {
        Prerequisite.Linux();
        using var directory = new TemporaryDirectory();
        var path = isAbstract ? "@tanjiren-" + Guid.NewGuid().ToString("N") : directory.File("notify");
        using var systemd = Listen(path);
        using (var notice = ServiceNotice.FromEnvironment(name => name == "NOTIFY_SOCKET" ? path : null)!)
            foreach (var life in Enum.GetValues<AgentLife>()) notice.Tell(life);

        (Next(systemd), Next(systemd), Next(systemd)).ShouldBe(("READY=1", "WATCHDOG=1", "STOPPING=1"));
    }

    [Fact]
    public void Without_a_service_manager_nothing_is_told_and_one_that_has_gone_is_no_error()
    {
        ServiceNotice.FromEnvironment(_ => null).ShouldBeNull();
        ServiceNotice.FromEnvironment(_ => "relative").ShouldBeNull();
        ServiceNotice.FromEnvironment(_ => "/" + new string('x', 200)).ShouldBeNull();
        Prerequisite.Linux();
        using var notice = ServiceNotice.FromEnvironment(_ => "/no/such/socket")!;
        notice.Tell(AgentLife.Alive);
    }

    /// <summary>The agent as the unit starts it: ready without a server, alive by its loops, and stopping when it is told to.</summary>
    [Fact]
    public async Task A_real_agent_is_ready_alive_and_stopping_and_tells_its_watchdog_nothing_of_it()
    {
        await using var scene = await FaultScene.StartAsync(new SceneOptions());
        using var directory = new TemporaryDirectory();
        using var systemd = Listen(directory.File("notify"));
        var agent = await scene.PairAnotherAsync("served", _ => { });
        await using var process = RealProcess.Start("served", ["agent", "run", "--home", agent.Home], new Dictionary<string, string?>
        {
            ["TANVRIT_HOME"] = directory.File("tanvrit"), ["NOTIFY_SOCKET"] = directory.File("notify"),
        });
        Next(systemd).ShouldBe("READY=1");
        for (var beats = 0; beats < 2; beats++) Next(systemd).ShouldBe("WATCHDOG=1");
        await process.WaitForLineAsync(SessionOpen(), FaultScene.StartLimit);
        var watchdog = await WatchdogAsync(process.Id);
        (await File.ReadAllTextAsync($"/proc/{watchdog}/environ", TestContext.Current.CancellationToken)).ShouldNotContain("NOTIFY_SOCKET");

        process.Terminate();

        string last;
        do last = Next(systemd); while (last == "WATCHDOG=1");
        last.ShouldBe("STOPPING=1");
        (await process.TerminateAsync()).ShouldBeOneOf(0, 130);
    }

    private static async Task<int> WatchdogAsync(int agent)
    {
        var children = "";
        // A thread may end while its children are read.
        await Eventually.PassesAsync(() =>
        {
            children = string.Concat(Directory.GetDirectories($"/proc/{agent}/task").Select(thread => File.ReadAllText(Path.Combine(thread, "children"))));
            children.Trim().ShouldNotBeEmpty();
        }, FaultScene.StartLimit);
        return int.Parse(children.Split(' ', StringSplitOptions.RemoveEmptyEntries)[0]);
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified) { ReceiveTimeout = (int)FaultScene.StartLimit.TotalMilliseconds };
        socket.Bind(new UnixDomainSocketEndPoint(path[0] == '@' ? '\0' + path[1..] : path));
        return socket;
    }

    private static string Next(Socket systemd)
    {
        var buffer = new byte[256];
        return Encoding.ASCII.GetString(buffer, 0, systemd.Receive(buffer));
    }

    [GeneratedRegex("Session ses_.* is open", RegexOptions.None, 1000)]
    private static partial Regex SessionOpen();
}
