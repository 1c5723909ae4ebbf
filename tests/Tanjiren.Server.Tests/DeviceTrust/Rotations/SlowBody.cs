using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Tanjiren.Protocol;

namespace Tanjiren.Server.Tests.DeviceTrust.Rotations;

/// <summary>A heartbeat with a good proof, of which the server has everything but the body, and waits for that.</summary>
internal sealed class SlowBody : IDisposable
{
    private readonly TcpClient _socket = new();
    private byte[] _body = [];

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public static async Task<SlowBody> BeginAsync(ServerFixture server, DeviceClient device, TimeProvider? clock = null)
    {
        var slow = new SlowBody { _body = JsonSerializer.SerializeToUtf8Bytes(new HeartbeatRequest { MaxConcurrent = 1 }, WireJson.Default.HeartbeatRequest) };
        var url = new Uri(device.Url("heartbeat"));
        var proof = DPoPProof.Create(device.Key, device.PublicKey, "POST", url.OriginalString, slow._body, (clock ?? TimeProvider.System).GetUtcNow(), device.AccessToken, device.Nonce);
        await slow._socket.ConnectAsync(url.Host, url.Port, Cancelled);
        // The server answers 100 when it begins to read the body: the key is looked up by then.
        await slow._socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(
            $"POST {url.PathAndQuery} HTTP/1.1\r\nHost: {new Uri(server.Url).Authority}\r\nAuthorization: DPoP {device.AccessToken}\r\nDPoP: {proof}\r\n"
            + $"Content-Type: application/json\r\nContent-Length: {slow._body.Length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"), Cancelled);
        var expected = "HTTP/1.1 100 Continue\r\n\r\n";
        var first = new byte[expected.Length];
        await slow._socket.GetStream().ReadExactlyAsync(first, Cancelled);
        Encoding.ASCII.GetString(first).ShouldBe(expected);
        return slow;
    }

    /// <summary>Sends the body; what the server answers then.</summary>
    public async Task<string> EndAsync()
    {
        await _socket.GetStream().WriteAsync(_body, Cancelled);
        return await AnswerAsync();
    }

    /// <summary>As far as the code of the problem: the connection itself may stay open for a while.</summary>
    public async Task<string> AnswerAsync()
    {
        const string Code = "\"code\":\"";
        var text = "";
        var buffer = new byte[4096];
        while (!(text.IndexOf(Code, StringComparison.Ordinal) is >= 0 and var at && text.IndexOf('"', at + Code.Length) >= 0))
        {
            var read = await _socket.GetStream().ReadAsync(buffer, Cancelled);
            if (read == 0) break;
            text += Encoding.UTF8.GetString(buffer, 0, read);
        }
        return text;
    }

    public void Dispose() => _socket.Dispose();
}
