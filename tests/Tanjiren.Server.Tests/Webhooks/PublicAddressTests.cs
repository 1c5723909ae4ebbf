using System.Net;
using Tanjiren.Server.Webhooks;

namespace Tanjiren.Server.Tests.Webhooks;

public sealed class PublicAddressTests
{
    [Theory]
    [InlineData("1.1.1.1")]
    [InlineData("9.255.255.255")]
    [InlineData("11.0.0.0")]
    [InlineData("93.184.215.14")]
    [InlineData("100.63.255.255")]
    [InlineData("100.128.0.0")]
    [InlineData("126.255.255.255")]
    [InlineData("128.0.0.0")]
    [InlineData("169.253.255.255")]
    [InlineData("169.255.0.0")]
    [InlineData("172.15.255.255")]
    [InlineData("172.32.0.0")]
    [InlineData("192.167.255.255")]
    [InlineData("192.169.0.0")]
    [InlineData("198.17.255.255")]
    [InlineData("198.20.0.0")]
    [InlineData("223.255.255.255")]
    [InlineData("2001:200::1")]
    [InlineData("2001:4860:4860::8888")]
    [InlineData("2606:4700:4700::1111")]
    [InlineData("2a00:1450:4001:829::200e")]
    public void The_world_may_be_reached(string address) => Judge(address).ShouldBe((true, true));

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.255.255.255")]
    [InlineData("10.0.0.0")]
    [InlineData("10.255.255.255")]
    [InlineData("172.16.0.1")]
    [InlineData("172.31.255.255")]
    [InlineData("192.168.0.1")]
    [InlineData("192.168.255.255")]
    [InlineData("100.64.0.1")]
    [InlineData("100.127.255.255")]
    [InlineData("::1")]
    [InlineData("fc00::1")]
    [InlineData("fdff:ffff::1")]
    public void One_s_own_network_by_the_setting_only(string address) => Judge(address).ShouldBe((false, true));

    [Theory]
    [InlineData("0.0.0.0")]
    [InlineData("0.255.255.255")]
    [InlineData("169.254.0.1")]
    [InlineData("169.254.169.254")]          // metadata: AWS, Azure, Google and most others
    [InlineData("100.100.100.200")]          // metadata: Alibaba
    [InlineData("168.63.129.16")]            // Azure's own
    [InlineData("fd00:ec2::254")]            // metadata: AWS over IPv6
    [InlineData("fd20:ce::254")]             // metadata: Google over IPv6
    [InlineData("192.0.0.192")]              // metadata: Oracle
    [InlineData("192.0.2.1")]
    [InlineData("198.51.100.1")]
    [InlineData("203.0.113.1")]
    [InlineData("192.88.99.1")]
    [InlineData("198.18.0.1")]
    [InlineData("198.19.255.255")]
    [InlineData("224.0.0.1")]
    [InlineData("239.255.255.255")]
    [InlineData("240.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("::")]
    [InlineData("::127.0.0.1")]              // IPv4-compatible
    [InlineData("64:ff9b::a9fe:a9fe")]       // NAT64 of the metadata address
    [InlineData("64:ff9b:1::1")]             // NAT64, local use
    [InlineData("100::1")]                   // discard
    [InlineData("2001::1")]                  // Teredo
    [InlineData("2001:2::1")]                // benchmarks
    [InlineData("2001:10::1")]               // ORCHID
    [InlineData("2001:1ff:ffff::1")]
    [InlineData("2001:db8::1")]
    [InlineData("2002:7f00:1::1")]           // 6to4 of loopback
    [InlineData("3fff::1")]                  // documentation
    [InlineData("4000::1")]                  // not given out
    [InlineData("5f00::1")]                  // segment routing
    [InlineData("fe80::1")]
    [InlineData("fe80::1%1")]
    [InlineData("fec0::1")]                  // site-local, as it was
    [InlineData("ff02::1")]
    public void Nobody_s_receiver_is_there(string address) => Judge(address).ShouldBe((false, false));

    [Theory]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::ffff:169.254.169.254")]
    [InlineData("::ffff:1.1.1.1")]
    public void A_mapped_address_is_another_way_to_say_one_that_is_refused(string address) => PublicAddress.MayReach(IPAddress.Parse(address), allowPrivate: false).ShouldBeFalse();

    private static (bool Public, bool Private) Judge(string address)
    {
        var parsed = IPAddress.Parse(address);
        return (PublicAddress.MayReach(parsed, allowPrivate: false), PublicAddress.MayReach(parsed, allowPrivate: true));
    }
}
